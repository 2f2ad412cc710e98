//! placeholder of the app author

//! Each way in which a receiver fails, and what an attempt at it must come to.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use task_inbox_testkit::receiver::Behaviour;
use task_inbox_testkit::tls::{self, Authority, Terminator};
use task_inbox_testkit::{NameServer, Receiver};

use crate::site::Neighbour;

/// What receivers ask for by `Retry-After`: longer than the schedule's first wait, jitter included.
pub(super) const ASKED: Duration = Duration::from_secs(9);
/// An answer that nobody should hold in memory.
const GIGABYTE: u64 = 1 << 30;
const DRIP: Duration = Duration::from_millis(100);
/// Where nothing listens: the network is ours alone.
const NOBODY: u16 = 9;

/// The endpoint that answers 410.
pub(super) const LEAVES: &str = "leaves";
/// The endpoint where nothing listens, for good.
pub(super) const GONE: &str = "gone-for-good";
/// The endpoints that ask for a time by `Retry-After`.
pub(super) const ASKING: [&str; 2] = ["retry-in-seconds", "retry-at-a-date"];
/// The endpoints whose answers have a body with no end worth waiting for.
pub(super) const POURING: [&str; 2] = ["endless", "gigabyte"];
/// The name that leads somewhere else each time.
pub(super) const TURNING: &str = "turns-its-name";

/// Of many deliveries that fail, a service need not try more before it spares the endpoint.
const TRIED: usize = 10;

/// An endpoint that fails.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// How many tasks have events for it.
    pub(super) tasks: usize,
    /// The outcomes that its attempts may have, while it fails.
    pub(super) outcomes: &'static [&'static str],
    /// The status that was answered.
    pub(super) status: Option<u16>,
    fault: Fault,
}

impl Case {
    /// How many attempts there must be before it may recover.
    pub(super) fn tried(&self) -> usize {
        self.tasks.min(TRIED)
    }
}

enum Fault {
    /// It answers so.
    Answers(Behaviour),
    /// It presents a certificate that is not to be trusted.
    Presents(Terminator),
    /// Its name resolves to what must not be reached, each list in its turn.
    Resolves(Vec<Vec<IpAddr>>),
    /// Nothing listens.
    Absent,
}

/// All of them, with what they stand on.
pub(super) struct Cases {
    pub(super) all: Vec<Case>,
    /// Where nobody may ever connect.
    pub(super) forbidden: Vec<Receiver>,
    authority: Authority,
    public: IpAddr,
}

impl Cases {
    /// Starts every receiver, at a public address; returns the endpoints, too.
    pub(super) async fn start(
        public: IpAddr,
        names: &NameServer,
        authority: Authority,
    ) -> Result<(Self, Vec<Neighbour>)> {
        let inner = Receiver::start().await?;
        let mut cases = Self { all: Vec::new(), forbidden: Vec::new(), authority, public };
        let mut neighbours = Vec::new();
        for case in Self::answering(&inner) {
            cases.add(case, names, &mut neighbours).await?;
        }
        for (name, resolves) in cases.resolving() {
            let outcomes: &[_] =
                if name == TURNING { &["address_refused", "delivered"] } else { &["address_refused"] };
            let status = None;
            let case = Case { name, tasks: 3, outcomes, status, fault: Fault::Resolves(resolves) };
            cases.add(case, names, &mut neighbours).await?;
        }
        let certificates = [
            ("expired", cases.authority.expired(public)?),
            ("self-signed", tls::self_signed(public)?),
            ("misnamed", cases.authority.misnamed()?),
        ];
        for (name, identity) in certificates {
            let receiver = Receiver::start_at((public, 0).into()).await?;
            let terminator = Terminator::start(receiver.address(), identity).await?;
            let url = terminator.url(&format!("/{name}"));
            neighbours.push(Neighbour { name: name.to_owned(), url, receiver: Some(receiver) });
            let fault = Fault::Presents(terminator);
            cases.all.push(Case { name, tasks: 3, outcomes: &["tls"], status: None, fault });
        }
        let url = format!("http://{}/{GONE}", SocketAddr::new(public, NOBODY));
        neighbours.push(Neighbour { name: GONE.to_owned(), url, receiver: None });
        let gone = Case { name: GONE, tasks: 1, outcomes: &["connect"], status: None, fault: Fault::Absent };
        cases.all.push(gone);
        cases.forbidden.push(inner);
        Ok((cases, neighbours))
    }

    /// Those that do something else than to accept. `inner` is where a redirect leads.
    fn answering(inner: &Receiver) -> Vec<Case> {
        let case = |name, outcome: &'static [&'static str], status, behaviour| Case {
            name,
            tasks: match name {
                // Together they would fill what one by itself does not.
                _ if POURING.contains(&name) => 20,
                // Enough to be noticed, and to be spared more.
                "errors" => 20,
                // The first ends it.
                LEAVES => 1,
                // Fewer failures than would change how the endpoint is treated.
                _ => 3,
            },
            outcomes: outcome,
            status,
            fault: Fault::Answers(behaviour),
        };
        let elsewhere = format!("location: {}", inner.url("/stolen"));
        let asks = format!("retry-after: {}", ASKED.as_secs());
        let [in_seconds, at_a_date] = ASKING;
        vec![
            case("errors", &["status"], Some(500), Behaviour::Answer(500)),
            case("hangs", &["timeout"], None, Behaviour::Hang),
            case("drips-head", &["timeout"], None, Behaviour::DripHead(DRIP)),
            case("drips", &["timeout"], None, Behaviour::Drip(DRIP)),
            case("endless", &["delivered"], Some(200), Behaviour::Endless),
            case("gigabyte", &["delivered"], Some(200), Behaviour::Long(GIGABYTE)),
            case("endless-head", &["protocol"], None, Behaviour::EndlessHead),
            case("endless-hints", &["timeout"], None, Behaviour::EndlessHints),
            case("garbage", &["protocol"], None, Behaviour::Garbage),
            case("breaks-off", &["protocol"], None, Behaviour::BreakOff),
            case("redirects", &["status"], Some(307), Behaviour::AnswerWith(307, elsewhere)),
            case(in_seconds, &["status"], Some(429), Behaviour::AnswerWith(429, asks)),
            case(at_a_date, &["status"], Some(429), Behaviour::RetryAt(429, ASKED)),
            case(LEAVES, &["status"], Some(410), Behaviour::Answer(410)),
        ]
    }

    /// Names that an attacker resolves to where a webhook must not go.
    fn resolving(&self) -> [(&'static str, Vec<Vec<IpAddr>>); 3] {
        let inner = IpAddr::from([127, 0, 0, 1]);
        let mapped = IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0x7f00, 1]);
        [
            // Checked, it is public; connected to, it is not: and the other way round.
            (TURNING, vec![vec![self.public], vec![inner]]),
            ("mixes-its-name", vec![vec![self.public, inner]]),
            ("maps-its-name", vec![vec![mapped]]),
        ]
    }

    async fn add(&mut self, case: Case, names: &NameServer, neighbours: &mut Vec<Neighbour>) -> Result<()> {
        let receiver = Receiver::start_at((self.public, 0).into()).await?;
        let url = match &case.fault {
            Fault::Resolves(turns) => {
                let host = host(case.name);
                names.set(&host, turns.clone());
                // Each attempt is to ask for the name again.
                receiver.behave(Behaviour::AnswerWith(200, "connection: close".to_owned()));
                // What the name leads to inside: the same port.
                let port = receiver.address().port();
                self.forbidden.push(Receiver::start_at(([127, 0, 0, 1], port).into()).await?);
                format!("http://{host}:{port}/{}", case.name)
            }
            _ => receiver.url(&format!("/{}", case.name)),
        };
        if let Fault::Answers(behaviour) = &case.fault {
            receiver.behave(behaviour.clone());
        }
        neighbours.push(Neighbour { name: case.name.to_owned(), url, receiver: Some(receiver) });
        self.all.push(case);
        Ok(())
    }

    /// Lets all recover that can.
    pub(super) fn recover(&self, names: &NameServer, neighbours: &[Neighbour]) -> Result<()> {
        for case in &self.all {
            match &case.fault {
                Fault::Answers(_) => {
                    let own = neighbours.iter().find(|neighbour| neighbour.name == case.name);
                    if let Some(receiver) = own.and_then(|neighbour| neighbour.receiver.as_ref()) {
                        receiver.behave(Behaviour::Answer(200));
                    }
                }
                Fault::Presents(terminator) => terminator.present(self.authority.good(self.public)?),
                Fault::Resolves(_) => names.set(&host(case.name), vec![vec![self.public]]),
                Fault::Absent => {}
            }
        }
        Ok(())
    }
}

/// The name of an endpoint that is reached by name.
pub(super) fn host(name: &str) -> String {
    format!("{name}.test")
}

# `make run` starts the service, `make test` runs every test. `make help` lists the rest.

SHELL := /bin/bash
CARGO ?= cargo

.PHONY: help
help: ## What there is to make
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

.PHONY: run
run: ## The service on SQLite with the sample schema; prints a key and a request to try
	@CARGO="$(CARGO)" scripts/run

.PHONY: receiver
receiver: ## The example receiver that the sample schema's webhooks go to
	@CARGO="$(CARGO)" scripts/receiver

.PHONY: demo
demo: ## The whole job once, on SQLite and on PostgreSQL
	@scripts/tools postgresql
	$(CARGO) build --quiet -p task-inbox-cli -p receiver-example
	scripts/demo sqlite
	scripts/with-postgres scripts/demo postgres

.PHONY: test
test: ## Installs what the tests need, and runs every test
	@scripts/tools postgresql redis-server nats-server sqlite3 python3 python3-venv nodejs npm curl jq openssl nginx-light chromium iproute2
	@scripts/packages receiver-example/python receiver-example/node receiver-example/verifiers
	$(CARGO) build --workspace --bins
	scripts/with-postgres $(CARGO) test --workspace
	$(MAKE) contract
	$(MAKE) clients
	$(MAKE) example-restate
	$(MAKE) faults-short

.PHONY: contract
contract: ## The API's description and the running server, held to each other: validators, generated clients, schemathesis
	@scripts/tools python3 python3-venv nodejs npm jq curl nginx-light chromium
	@scripts/packages contract
	$(CARGO) build -p task-inbox-cli
	scripts/contract

.PHONY: clients
clients: ## The clients in TypeScript and Python: types, generated files, and every test against real servers
	@scripts/tools sqlite3 python3 python3-venv nodejs npm
	@scripts/packages clients/typescript clients/python
	$(CARGO) build -p task-inbox-cli
	scripts/clients

.PHONY: example-restate
example-restate: ## A Restate workflow that waits for a person, while each part is killed
	@scripts/tools nodejs npm curl jq
	@scripts/packages clients/typescript examples/restate
	$(CARGO) build -p task-inbox-cli
	scripts/example-restate

.PHONY: contract-long
contract-long: ## The same with more cases, and others every time (10 minutes)
	@scripts/tools python3 python3-venv nodejs npm jq curl nginx-light chromium
	@scripts/packages contract
	$(CARGO) build -p task-inbox-cli
	scripts/contract 600 --workers 2

.PHONY: fuzz
fuzz: ## Each fuzz target for a minute
	scripts/fuzz 60

.PHONY: faults
faults: ## Really kills, freezes and cuts things, on both engines, and audits what is left (half an hour)
	@scripts/tools postgresql sqlite3 iproute2 redis-server nats-server
	$(CARGO) build -p task-inbox-cli -p task-inbox-faults
	scripts/faults all --engine sqlite
	scripts/faults all --engine postgres

.PHONY: faults-short
faults-short: ## The same with a few rounds of each
	@scripts/tools postgresql sqlite3 iproute2 redis-server nats-server
	$(CARGO) build -p task-inbox-cli -p task-inbox-faults
	scripts/faults all --engine sqlite --rounds 2 --seconds 5
	scripts/faults all --engine postgres --rounds 2 --seconds 5

.PHONY: bench
bench: ## Everything that is measured, beside the machine's limits; writes docs/BENCHMARKS.md (half an hour)
	@scripts/tools postgresql sqlite3 nginx-light redis-server nats-server
	$(CARGO) build --release -p task-inbox-cli -p bench
	$(CARGO) run --release -p bench -- all

.PHONY: bench-quick
bench-quick: ## The same with short runs on little data, to try out the measuring
	@scripts/tools postgresql sqlite3 nginx-light redis-server nats-server
	$(CARGO) build -p task-inbox-cli -p bench
	$(CARGO) run -p bench -- all --quick --output target/bench-quick

# Stacks are walked by frame pointers, which ordinary builds do without.
.PHONY: profile
profile: ## Flame graphs of the server while tasks are posted, in docs/benchmarks
	@scripts/tools postgresql sqlite3 linux-perf
	RUSTFLAGS="-C force-frame-pointers=yes --cfg frame_pointers" CARGO_TARGET_DIR=$${CARGO_TARGET_DIR:-target}/profile \
		$(CARGO) run --release -p bench --bin bench -- profile

.PHONY: lint
lint: ## Formatting, clippy, docs
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items

.PHONY: deny
deny: ## Licences, sources and banned crates (needs cargo-deny)
	$(CARGO) deny --workspace --offline check bans licenses sources

.PHONY: generate
generate: ## Files that are generated from the code
	$(CARGO) run --quiet -p task-inbox-cli -- openapi > openapi/openapi.json.new
	mv openapi/openapi.json.new openapi/openapi.json
	$(CARGO) run --quiet -p task-inbox-cli -- config docs --write
	mkdir -p docs/man
	$(CARGO) run --quiet -p task-inbox-cli -- man > docs/man/task-inbox.1

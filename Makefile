# What the project can do for you. Everything that is built or fetched goes below target/.

PYTHON ?= python3
PEERS := target/peers

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: peers
peers: $(PEERS)/python.stamp $(PEERS)/python2.stamp $(PEERS)/node.stamp ## Fetch the WAMP clients of others that the tests talk to

# A stamp says that its folder is whole: it is written last, and older than what it was made from
# means to begin again.
$(PEERS)/python.stamp: tests/peers/python/requirements.txt
	rm -rf $(PEERS)/python
	$(PYTHON) -m venv $(PEERS)/python
	$(PEERS)/python/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

# WAMP v1's last Python client runs on 2.7 only; what needs it is left out where there is none. A
# pyenv shim may be found without being able to run, hence the trial.
$(PEERS)/python2.stamp: tests/peers/python/requirements-2.7.txt
	rm -rf $(PEERS)/python2
	mkdir -p $(PEERS)
	@for python in python2.7 $(HOME)/.pyenv/versions/2.7.*/bin/python2.7; do \
		$$python -m pip --version >/dev/null 2>&1 || continue; \
		$$python -m pip install --quiet --disable-pip-version-check \
			--target $(PEERS)/python2 --requirement $< 2>$(PEERS)/python2.log \
			|| { cat $(PEERS)/python2.log; exit 1; }; \
		ln -s "$$($$python -c 'import sys; print(sys.executable)')" $(PEERS)/python2/python; \
		break; \
	done; \
	test -e $(PEERS)/python2 || echo "no Python 2.7 here: the tests do without autobahn 0.8.15"
	touch $@

$(PEERS)/node.stamp: tests/peers/node/package.json tests/peers/node/package-lock.json tests/peers/node/.npmrc
	rm -rf $(PEERS)/node
	mkdir -p $(PEERS)/node
	cp $^ $(PEERS)/node
	cd $(PEERS)/node && npm ci --prefer-offline --silent
	touch $@

# make app     install what is needed and start the page
# make demo    the chain without the page, into out/: make demo PROMPT="a wooden chair"
# make test    everything that must pass
# make screenshots  the page's pictures in docs/, taken anew

SHELL := /bin/bash
PYTHON_IN_VENV := .venv/bin/python
PROMPT ?= a wooden chair
# Through the environment, so that quotes in a prompt reach the program as they are.
export PROMPT

.PHONY: app demo test screenshots

app:
	@.ci/setup app
	@GRADIO_SERVER_PORT="$${GRADIO_SERVER_PORT:-$${PORT:-7860}}" exec $(PYTHON_IN_VENV) app.py

demo:
	@.ci/setup app
	@exec $(PYTHON_IN_VENV) -m pipelines "$$PROMPT" --out out --overwrite

test:
	@.ci/setup test
	$(PYTHON_IN_VENV) -m ruff check .
	$(PYTHON_IN_VENV) -m ruff format --check .
	$(PYTHON_IN_VENV) -m pyright
	$(PYTHON_IN_VENV) -m pytest -q -m "not gpu and not alone" -n 2 --dist loadfile
	$(PYTHON_IN_VENV) -m pytest -q -m "alone and not gpu"

screenshots:
	@.ci/setup test
	$(PYTHON_IN_VENV) -m tests.browser.screenshots

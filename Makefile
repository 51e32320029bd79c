# Every target sets up what it needs: a virtual environment in .venv, then the install.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow lint bench curves wheel-test clean

$(VENV)/installed-agents: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[agents,render]"
	touch $@

$(VENV)/installed-dev: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@ $(VENV)/installed-agents

demo: $(VENV)/installed-agents  ## Improve the bundled GPT-2 by policy gradient, show that it improved.
	$(BIN)/python benchmarks/demo.py

test: $(VENV)/installed-dev  ## The default suite, on two cores.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(VENV)/installed-dev  ## The long learning and exactness runs.
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/installed-dev  ## Tables of ratios under benchmarks/results/.
	$(BIN)/python benchmarks/env_steps.py
	$(BIN)/python benchmarks/example_speed.py
	$(BIN)/python benchmarks/reward_cost.py
	$(BIN)/python benchmarks/rollout_tokens.py
	$(BIN)/python benchmarks/rollout_conversations.py
	$(BIN)/python benchmarks/nucleus.py
	$(BIN)/python benchmarks/train_step.py --rounds 25
	$(BIN)/python benchmarks/processes.py --rounds 5

curves: $(VENV)/installed-dev  ## Learning with controls: about fourteen hours; multi30k.py takes three more.
	$(BIN)/python benchmarks/cartpole.py
	$(BIN)/python benchmarks/task_learning.py
	$(BIN)/python benchmarks/learning_curves.py --env Story-v0 --level easy
	$(BIN)/python benchmarks/learning_curves.py --env Summarization-v0 --level easy
	$(BIN)/python benchmarks/learning_curves.py --env Translation-v0 --level easy --temperature 0.7 \
	    --learning-rate 5e-5 --target-kl 0.005 --episodes 4096
	$(BIN)/python benchmarks/learning_curves.py --env Recommendation-v0 --level easy --episodes 2048
	$(BIN)/python benchmarks/learning_curves.py --env Arithmetic-v0 --level easy --episodes 2048
	$(BIN)/python benchmarks/learning_curves.py --env DataToText-v0 --level easy --lora-rank 4 \
	    --learning-rate 5e-4
	$(BIN)/python benchmarks/learning_curves.py --env DataToText-v0 --level medium --lora-rank 4 \
	    --learning-rate 5e-4 --rates ppo=2.5e-4 nlpo=2.5e-4 --gae-lambda 1 --steps 250000 \
	    --episodes 2048
	$(BIN)/python benchmarks/learning_curves.py --env Dialogue-v0 --level easy --temperature 0.7 \
	    --schedule linear --warmup 0.15 --steps 300000 --value-rate 0.01 --value-coef 0.1 \
	    --only grpo gspo ppo dr_grpo a2c reinforce rloo nlpo cispo scst dapo "grpo, bf16" \
	    "expert iteration" likelihood "random reward"
	$(BIN)/python benchmarks/learning_curves.py --env Wordle-v0 --level easy --temperature 1 \
	    --learning-rate 4e-4 --rates scst=1e-4 "expert iteration=2e-4" --episodes 4096

wheel-test: $(VENV)/installed-dev  ## Install the built wheel into a clean environment and test it there.
	bash scripts/test_wheel.sh

clean:
	rm -rf $(VENV) build dist *.egg-info

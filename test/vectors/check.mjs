/**
 * The same bits with the instructions of every Node, each fetched from npm: the suites of the kernels on Node 22, 24 and 26 in
 * every combination that it has (test/conformance/combinations.test.ts counts them); models and traffic on Node 20 and 26
 * in every combination (modes.ts), whose digests are compared with each other; loading with vectors of 256 bits
 * (loading.test.ts); and whether V8 makes those tiles 256 bits wide that are made for it. `npm run test:vectors`.
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const conformance = `${root}test/conformance`;
const SUITES = [
  ...readdirSync(conformance).filter((name) => /^(kernels|combinations|rotation).*\.test\.ts$/.test(name)),
].map((name) => `test/conformance/${name}`);
const ALSO = [
  "test/conformance/self-check.test.ts",
  "src/kernels/wasm/choose-instructions.test.ts",
  "src/platform/v8-flags.test.ts",
];
if (SUITES.length < 5) throw new Error(`only ${SUITES.length} suites of kernels were found`);

function onNode(major, ...args) {
  return execFileSync("npx", ["-y", "-p", `node@${major}`, "--", "node", ...args], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 2 ** 26,
  });
}

for (const major of [22, 24, 26]) {
  const started = performance.now();
  const version = onNode(major, "--print", "process.version").trim();
  if (!version.startsWith(`v${major}.`)) throw new Error(`Node ${version} came instead of ${major}`);
  try {
    onNode(major, "node_modules/vitest/vitest.mjs", "run", ...SUITES, ...ALSO);
  } catch (error) {
    process.stderr.write(`${error.stdout}\nThe suites of the kernels failed on Node ${version}.\n`);
    process.exit(1);
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  process.stdout.write(`Node ${version}: ${SUITES.length} suites of kernels in ${seconds} s\n`);
}

/** What test/vectors/modes.ts must have run on each Node, so that none is missing silently. */
const WIDE = process.arch === "x64" ? ["256 strict", "256 relaxed", "256 short"] : [];
const MODES = { 20: ["128 strict"], 26: ["128 strict", "128 relaxed", "128 short", ...WIDE] };
/** Cases of a mode; sums of 16 bits are of one type of weights of three. */
const casesOf = (mode) => (mode.endsWith("short") ? 1 : 3) * 2 * 2 * 2;
/** Digests by model and types: the same of every mode, thread and Node. */
const digests = new Map();
for (const [major, modes] of Object.entries(MODES)) {
  const started = performance.now();
  const lines = onNode(major, "--import", "tsx", "test/vectors/modes.ts").trim().split("\n").map(JSON.parse);
  for (const mode of modes) {
    const cases = new Set(lines.filter((line) => line.mode === mode).map(caseOf));
    if (cases.size === casesOf(mode)) continue;
    fail(`${cases.size} of ${casesOf(mode)} cases of ${mode} were run on Node ${major}`);
  }
  if (lines.length !== modes.reduce((sum, mode) => sum + casesOf(mode), 0))
    fail(`Node ${major} has modes beside ${modes.join(", ")}`);
  for (const line of lines) {
    const { model, dtype, kvDtype, identity, traffic } = line;
    const key = `${model}, ${dtype}, ${kvDtype} K and V`;
    const found = {
      digest: `${identity} ${traffic}`,
      where: `${line.mode}, ${line.threads} threads, Node ${major}`,
    };
    const first = digests.get(key) ?? found;
    digests.set(key, first);
    if (first.digest !== found.digest)
      fail(`${key}: other bits with ${first.where} than with ${found.where}`);
  }
  try {
    onNode(major, "node_modules/vitest/vitest.mjs", "run", "--config", "test/vectors/vitest.config.ts");
  } catch (error) {
    fail(`${error.stdout}\nLoading with --vectors failed on Node ${major}.`);
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  process.stdout.write(
    `Node ${major}: ${lines.length} cases of models, ${modes.join(", ")}, and loading: ${seconds} s\n`,
  );
}
if (new Set([...digests.values()].map(({ digest }) => digest)).size !== casesOf("128 strict") / 2) {
  fail("models or types that differ have the same digest");
}

function caseOf({ model, dtype, kvDtype, threads }) {
  return [model, dtype, kvDtype, threads].join();
}

function fail(what) {
  process.stderr.write(`${what}\n`);
  process.exit(1);
}

/**
 * Functions that V8 must make 256 bits wide: tiles and operations that are used where vectors are fused. Of each kind there is at
 * least one. What the self check does not run of them stays
 * at 128 bits in a model's kernels: test/conformance/self-check.test.ts.
 */
const FUSED = JSON.parse(readFileSync(new URL("fused-functions.json", import.meta.url), "utf8")).map(
  (pattern) => new RegExp(pattern),
);
for (const major of process.arch === "x64" ? [24, 26] : []) {
  const functions = onNode(major, "test/vectors/fused.mjs")
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/));
  for (const kind of FUSED) {
    const tiles = functions.filter(([, name]) => kind.test(name));
    const unfused = tiles.filter(([count]) => count === "0");
    if (tiles.length > 0 && unfused.length === 0) continue;
    const which =
      tiles.length === 0 ? `V8 looked at no function ${kind}` : `Not fused: ${unfused.join("; ")}`;
    process.stderr.write(`${which} (Node ${major})\n`);
    process.exit(1);
  }
  process.stdout.write(
    `Node ${major}: ${functions.filter(([count]) => count !== "0").length} functions are 256 bits wide\n`,
  );
}

/**
 * The same bits with the instructions of every Node: the suites of the kernels on Node 22, 24 and 26, each fetched from npm, in
 * every combination that it has (test/conformance/combinations.test.ts counts them); and whether V8 makes those tiles 256 bits
 * wide that are made for it. `npm run test:vectors`; `npm test` is the same for the Node that it runs on.
 */
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const conformance = `${root}test/conformance`;
const SUITES = [
  ...readdirSync(conformance).filter((name) => /^(kernels|combinations|rotation).*\.test\.ts$/.test(name)),
].map((name) => `test/conformance/${name}`);
const ALSO = ["src/kernels/wasm/choose-instructions.test.ts", "src/platform/v8-flags.test.ts"];
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

/** Tiles that V8 must make 256 bits wide; of each kind there is at least one. */
const FUSED = [
  ...[/^tile[1-5]/, /^int8Tile/, /^(row|two)(Bytes|Nibbles)/],
  ...[/^relaxed\.int8RelaxedTile/, /^relaxed\.(row|two)(Bytes|Nibbles)/],
];
for (const major of process.arch === "x64" ? [24, 26] : []) {
  const functions = onNode(major, "test/vectors/fused.mjs")
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/));
  for (const kind of FUSED) {
    const tiles = functions.filter(([, name]) => kind.test(name));
    const unfused = tiles.filter(([count]) => count === "0");
    if (tiles.length > 0 && unfused.length === 0) continue;
    const which = tiles.length === 0 ? `There are no tiles ${kind}` : `Not fused: ${unfused.join("; ")}`;
    process.stderr.write(`${which} (Node ${major})\n`);
    process.exit(1);
  }
  process.stdout.write(
    `Node ${major}: ${functions.filter(([count]) => count !== "0").length} functions are 256 bits wide\n`,
  );
}

/**
 * How far answers of the small GGUF files lie from the reference, with the types that the files store: the table of
 * docs/numerics.md. `npx tsx scripts/gguf-distances.ts`
 */
import { load } from "../src/library/load.js";
import { ggufCases, ggufNames, ggufPath } from "../test/fixture-models.js";

const rows: string[][] = [];
for (const name of ggufNames) {
  await using lm = await load(ggufPath(name), { threads: 1, worker: false });
  const { vocabSize } = lm.info.config;
  let largest = 0;
  for (const { ids, logits: expected } of await ggufCases(name)) {
    const { logits } = await lm.logits(ids, { rows: "all" });
    for (let row = 0; row < ids.length; row++) {
      const [a, b] = [logits, expected].map((all) => all.subarray(row * vocabSize, (row + 1) * vocabSize));
      largest = Math.max(largest, shareOfRange(a!, b!));
    }
  }
  const types = [...new Set(lm.info.tensors.map(({ dtype }) => dtype))].join(" ");
  rows.push([name, types, `${(100 * largest).toPrecision(2)} %`]);
}
const header = ["| file | types | largest distance |", "| --- | --- | --- |"];
process.stdout.write(`${[...header, ...rows.map((row) => `| ${row.join(" | ")} |`)].join("\n")}\n`);

function shareOfRange(found: Float32Array, expected: Float32Array): number {
  let [low, high, distance] = [Infinity, -Infinity, 0];
  expected.forEach((value, i) => {
    low = Math.min(low, value);
    high = Math.max(high, value);
    distance = Math.max(distance, Math.abs(value - found[i]!));
  });
  return distance / (high - low);
}

/**
 * How far answers of the small GGUF files lie from the reference, with the types that the files store: the table of
 * docs/numerics.md. `npx tsx scripts/gguf-distances.ts`
 */
import type { LanguageModel } from "../src/library/language-model.js";
import { load } from "../src/library/load.js";
import { ggufCases, ggufNames, ggufPath } from "../test/fixture-models.js";
import { memoryFiles } from "../test/memory-files.js";
import { RETYPED_DTYPES, retypedGguf } from "../test/retyped-gguf.js";

const quiet = { threads: 1, worker: false } as const;
const rows: string[][] = [];
for (const name of ggufNames) {
  await using lm = await load(ggufPath(name), quiet);
  let largest = 0;
  for (const { ids, logits: expected } of await ggufCases(name)) {
    const { logits } = await lm.logits(ids, { rows: "all" });
    largest = Math.max(largest, largestShare(logits, expected, ids.length));
  }
  rows.push([name, typesOf(lm), percent(largest)]);
}
for (const dtype of RETYPED_DTYPES) {
  const file = await retypedGguf(dtype);
  const open = () => Object.assign(memoryFiles("m", { "m.gguf": file }), { gguf: ["m.gguf"] });
  await using lm = await load(open(), quiet);
  await using widened = await load(open(), { ...quiet, dtype: "f32" });
  const ids = [88, 147, 129, 281, 79, 70, 182, 256];
  const [a, b] = [await lm.logits(ids, { rows: "all" }), await widened.logits(ids, { rows: "all" })];
  const share = largestShare(a.logits, b.logits, ids.length);
  rows.push([`random blocks, against \`--dtype f32\``, typesOf(lm), percent(share)]);
}

function typesOf({ info }: LanguageModel): string {
  return [...new Set(info.tensors.map(({ dtype }) => dtype))].sort().join(" ");
}

function percent(share: number): string {
  return `${(100 * share).toPrecision(2)} %`;
}

/** Of so many rows. */
function largestShare(found: Float32Array, expected: Float32Array, count: number): number {
  const size = expected.length / count;
  const shares = Array.from({ length: count }, (_, row) => {
    const [a, b] = [found, expected].map((all) => all.subarray(row * size, (row + 1) * size));
    return shareOfRange(a!, b!);
  });
  return Math.max(...shares);
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

/**
 * How long restoring a saved sequence takes, against computing its rows: interleaved, several rounds, for both types of
 * weights and of K and V.
 */
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LanguageModel, load } from "lastrow";
import { type Spread, spreadOf } from "../../src/bench/spread.js";
import { formatDuration } from "../../src/cli/format.js";
import { atLeastOne } from "../../src/cli/options.js";
import { renderTable } from "../../src/cli/table.js";
import { coloursFor } from "../../src/cli/terminal.js";
import { benchCommand, type CommonOptions } from "../command.js";
import { randomGpt2 } from "../random-gpt2.js";

const options = benchCommand(
  "bench:restore",
  "How long restoring a saved sequence takes, in turns with computing its rows.",
  { rounds: 5, examples: ["--tokens 500"] },
)
  .option("--tokens <count>", "tokens of the sequence", atLeastOne, 1000)
  .parse()
  .opts<CommonOptions & { tokens: number }>();
const { tokens, rounds, threads } = options;
const model = options.model ?? (await randomGpt2());

const folder = await mkdtemp(join(tmpdir(), "lastrow-bench-"));
const rows: Awaited<ReturnType<typeof measure>>[] = [];
try {
  for (const dtype of ["f32", "int8"] as const) {
    for (const kvDtype of ["f32", "int8"] as const) {
      await using lm = await load(model, { dtype, kvDtype, threads, worker: true });
      process.stderr.write(`${dtype} weights, ${kvDtype} K and V\n`);
      rows.push(await measure(lm));
    }
  }
} finally {
  await rm(folder, { recursive: true });
}

if (options.json) {
  process.stdout.write(`${JSON.stringify({ node: process.version, tokens, rounds, rows })}\n`);
} else {
  const faster = ({ median }: Spread, than: Spread) =>
    `${formatDuration(median)}, ${(than.median / median).toFixed(1)} ×`;
  const table = renderTable(coloursFor(process.stdout, process.env), {
    head: ["weights", "K and V", "file", "computed", "saved", "restored: room", "cache full"],
    rows: rows.map(({ dtype, kvDtype, megabytes, computed, saved, restored: { free, full } }) => [
      dtype,
      kvDtype,
      `${megabytes.toFixed(1)} MB`,
      formatDuration(computed.median),
      formatDuration(saved.median),
      faster(free, computed),
      faster(full, computed),
    ]),
    rightAligned: [2, 3, 4, 5, 6],
  });
  process.stdout.write(
    `${table}\n\n${tokens} tokens · medians of ${rounds} rounds · Node ${process.version}\n`,
  );
}

async function measure(lm: LanguageModel) {
  const ms = { computed: [] as number[], saved: [] as number[], free: [] as number[], full: [] as number[] };
  const path = join(folder, "sequence.kv.safetensors");
  // Rounds that are not counted compile what is hot, and use all of the KV memory once: the first touch takes longer.
  const { blocks, blockSize } = lm.info.kv;
  const warmUps = Math.ceil(blocks / Math.ceil(tokens / blockSize));
  for (let round = -warmUps; round < rounds; round++) {
    const history = Array.from(
      { length: tokens },
      (_, i) => ((i + 7) * 7919 + round + warmUps) % lm.info.config.vocabSize,
    );
    // Salts keep the rounds from sharing what is to be measured.
    const computing = await timed(() => lm.sequence(history, { salt: `computed ${round}` }));
    const logits = computing.value.logits.slice();
    const saving = await timed(() => computing.value.save(path));
    await computing.value.dispose();
    // What was computed stays findable, so the cache is full; what is restored for another salt does not.
    const full = await restore(lm, path, logits);
    const free = await restore(lm, path, logits);
    if (round < 0) continue;
    ms.computed.push(computing.ms);
    ms.saved.push(saving.ms);
    ms.full.push(full);
    ms.free.push(free);
  }
  const [computed, saved, free, full] = [ms.computed, ms.saved, ms.free, ms.full].map(spreadOf);
  return {
    dtype: lm.info.dtype,
    kvDtype: lm.info.kv.dtype,
    threads: lm.info.threads,
    megabytes: (await stat(path)).size / 1e6,
    ...{ computed, saved },
    /** Into a cache with room, and into one that is full of what others could find. */
    restored: { free, full },
  };
}

/** Milliseconds of restoring the file, which must give these logits. */
async function restore(lm: LanguageModel, path: string, logits: Float32Array): Promise<number> {
  const { value, ms } = await timed(() => lm.restore(path, { salt: "restored" }));
  if (!sameBits(value.logits, logits)) throw new Error("the logits differ");
  await value.dispose();
  return ms;
}

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const start = performance.now();
  const value = await work();
  return { value, ms: performance.now() - start };
}

function sameBits(a: Float32Array, b: Float32Array): boolean {
  const bits = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length);
  const other = bits(b);
  return bits(a).every((word, i) => word === other[i]);
}

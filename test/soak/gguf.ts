/**
 * `npm run test:gguf`: the mutated GGUF files of `npm test`, 200,000 of them, and the costliest headers that the limits allow.
 * Whatever a file says, it is described or refused in one sentence; none takes two seconds of the processor, nor more than 64
 * MB of memory beside its own bytes. Ends at the first that does.
 *
 *   npm run test:gguf -- --cases 200000 --from 1500
 */
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { readGgufHeader } from "../../src/formats/gguf/gguf-header.js";
import { GGUF_LIMITS } from "../../src/formats/gguf/gguf-limits.js";
import { describeMutated } from "../gguf-fuzz.js";
import { memoryFile } from "../memory-files.js";
import { mutatedGguf } from "../mutated-gguf.js";
import { LIST, type RawGguf, type RawKey, rawBytes, rawText, TEXT } from "../raw-gguf.js";

const { values } = parseArgs({
  options: { cases: { type: "string", default: "200000" }, from: { type: "string", default: "1500" } },
});
const cases = Number(values.cases);
const from = Number(values.from);
if (!(Number.isInteger(cases) && cases > 0 && Number.isInteger(from) && from >= 0)) {
  process.stderr.write("--cases is a positive whole number, --from the number of the first.\n");
  process.exit(2);
}

/** Most that one may take, in microseconds of the processor and in bytes beside its own. */
const MAX_MICROSECONDS = 2e6;
const MAX_BYTES = 64 * 1024 * 1024;
/** Milliseconds between two lines of progress. */
const PROGRESS_MS = 10_000;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Memory of buffers is given back in the turn after they were collected. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) {
    collectGarbage();
    await sleep(10);
  }
}

function bytesInUse(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

const tally = new Map<string, number>();
let [slowest, largest] = [0, 0];
let shown = performance.now();
for (let number = from; number < from + cases; number++) {
  const model = mutatedGguf(number);
  const before = bytesInUse();
  const start = process.cpuUsage();
  let code: string;
  try {
    code = (await describeMutated(model)) ?? "described";
  } catch (cause) {
    throw new Error(`mutation ${number}`, { cause });
  }
  const { user, system } = process.cpuUsage(start);
  // What was collected meanwhile does not count, but what is in use at the end does.
  const bytes = bytesInUse() - before;
  if (user + system > MAX_MICROSECONDS) throw new Error(`mutation ${number} took ${(user + system) / 1e6} s`);
  if (bytes > model.totalBytes + MAX_BYTES) throw new Error(`mutation ${number} took ${bytes} bytes`);
  slowest = Math.max(slowest, user + system);
  largest = Math.max(largest, bytes - model.totalBytes);
  tally.set(code, (tally.get(code) ?? 0) + 1);
  if (performance.now() - shown < PROGRESS_MS) continue;
  shown = performance.now();
  process.stdout.write(`${number + 1 - from} of ${cases} files\n`);
}
const codes = [...tally].map(([code, count]) => `${count} ${code}`).join(", ");
process.stdout.write(
  `${cases} files: ${codes}; the slowest took ${(slowest / 1000).toFixed(0)} ms of the processor, the largest ${(largest / 1e6).toFixed(1)} MB beside its own bytes\n`,
);

const digits = (number: number) => String(number).padStart(6, "0");
/** A list of different texts of two characters, the fewest bytes that take memory of their own. */
const shortTexts = (count: number): RawKey => ({
  key: rawText("tokenizer.ggml.tokens"),
  type: LIST,
  value: {
    elementType: TEXT,
    count: null,
    elements: Array.from({ length: count }, (_, i) =>
      rawText(String.fromCharCode(0x4e00 + (i >> 12), 0x3000 + (i & 4095))),
    ),
  },
});
const keys = (count: number): RawKey[] =>
  Array.from({ length: count }, (_, i) => ({ key: rawText(digits(i)), type: 0, value: Uint8Array.of(1) }));
const tensors = (count: number): RawGguf["tensors"] =>
  Array.from({ length: count }, (_, i) => ({
    name: rawText(`t${digits(i)}`),
    dimensions: null,
    sizes: [1n, 1n, 1n, 1n],
    type: 0,
    offset: BigInt(8 * i),
  }));
const alignment: RawKey = { key: rawText("general.alignment"), type: 4, value: Uint8Array.of(8, 0, 0, 0) };
const longText = (key: string): RawKey => ({
  key: rawText(key),
  type: TEXT,
  // One character that makes two bytes of each of the others.
  value: rawText("\u65e5".padEnd(GGUF_LIMITS.textBytes - 2)),
});

/** The headers that cost most of all that the limits allow. */
const COSTLIEST: Readonly<Record<string, () => Partial<RawGguf>>> = {
  "texts, keys and tensors": () => ({
    keys: [alignment, shortTexts(GGUF_LIMITS.listedTexts), ...keys(GGUF_LIMITS.keys - 2)],
    tensors: tensors(GGUF_LIMITS.tensors),
    data: new Uint8Array(8 * GGUF_LIMITS.tensors),
  }),
  "long texts": () => ({
    keys: Array.from({ length: GGUF_LIMITS.headerBytes / GGUF_LIMITS.textBytes - 1 }, (_, i) =>
      longText(digits(i)),
    ),
  }),
  numbers: () => ({
    keys: [
      {
        key: rawText("k"),
        type: LIST,
        value: { elementType: 0, count: null, elements: new Uint8Array(GGUF_LIMITS.headerBytes - 1000) },
      },
    ],
  }),
};

function costliest(contents: Partial<RawGguf>) {
  const whole: RawGguf = {
    ...{ magic: "GGUF", version: 3, tensorCount: null, keyCount: null, keys: [], tensors: [], alignment: 8 },
    ...{ data: new Uint8Array(0), ...contents },
  };
  return { bytes: rawBytes(whole), keys: whole.keys.length, tensors: whole.tensors.length };
}

/** In a function of its own, so that what one took is free again before the next. */
async function readCostliest(name: string, contents: () => Partial<RawGguf>): Promise<void> {
  const { bytes, ...counts } = costliest(contents());
  const file = memoryFile("m.gguf", bytes);
  await settle();
  const before = bytesInUse();
  const start = process.cpuUsage();
  const header = await readGgufHeader(file);
  const { user, system } = process.cpuUsage(start);
  await settle();
  const more = bytesInUse() - before;
  process.stdout.write(
    `${name}: ${(file.size / 1e6).toFixed(0)} MB, read in ${((user + system) / 1000).toFixed(0)} ms of the processor, into ${(more / 1e6).toFixed(0)} MB\n`,
  );
  if (header.metadata.size !== counts.keys || header.tensors.size !== counts.tensors) {
    throw new Error(`${name}: not all was read`);
  }
  if (user + system > MAX_MICROSECONDS) throw new Error(`${name}: took ${(user + system) / 1e6} s`);
  if (more > file.size + MAX_BYTES) throw new Error(`${name}: took ${more} bytes`);
}

for (const [name, contents] of Object.entries(COSTLIEST)) {
  await readCostliest(name, contents);
}

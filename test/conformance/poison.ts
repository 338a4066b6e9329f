/**
 * What a decode step needs, shown from both sides: everything but the new row and what its layers see of K and V may be NaN
 * and the logits keep their bits; a single NaN in one old row of K or V that is seen reaches every logit. Shared by the quick and the
 * exhaustive tests.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { firstDifferentBits } from "../../src/client/comparison.js";
import type { Kernels, KernelsName } from "../../src/kernels/kernels.js";
import {
  BLOCK_SIZE,
  type KvLayout,
  kvOffset,
  scaleOffset,
  slotOf,
  valueOffset,
} from "../../src/kernels/kv-layout.js";
import { KV_TYPES, type KvDtype } from "../../src/kernels/kv-types.js";
import type { PackedDtype } from "../../src/kernels/weight-types.js";
import type { BlockTable } from "../../src/kv-cache/block-table.js";
import type { DecoderSpec } from "../../src/model/decoder-spec.js";
import { FedSequence } from "../fed-sequence.js";
import { arbitraryTokens, familyFolder, modelFolders } from "../fixture-models.js";
import { loadInProcess } from "../in-process.js";

/** Where in memory, as [byte, length], the K and V of one position of one head lie, scales included. */
function* keyAndValuePlaces(kv: KvLayout, block: number, inBlock: number, layer: number, head: number) {
  const base = kvOffset(kv, block, layer, head);
  const bytes = KV_TYPES[kv.dtype].elementBytes;
  for (let d = 0; d < kv.headDim; d++) {
    yield [base + bytes * (d * BLOCK_SIZE + inBlock), bytes] as const;
    yield [base + valueOffset(kv) + bytes * (inBlock * kv.headDim + d), bytes] as const;
  }
  if (kv.dtype !== "int8") return;
  yield [base + scaleOffset(kv) + 4 * inBlock, 4] as const;
  yield [base + scaleOffset(kv) + 4 * (BLOCK_SIZE + inBlock), 4] as const;
}

/** A NaN as a float, and −1 as an integer. */
const NAN_BYTE = 0xff;

/** Whether the row behind a table sees a position in a layer. */
function isSeen(spec: DecoderSpec, layer: number, position: number, length: number): boolean {
  const { window } = spec.layers[layer].attention;
  return window === null || position > length - window;
}

/**
 * Fills with NaN all of the slab but the rows of a table that the next row sees, and everything behind the slab: working
 * memory, staging.
 */
function poison(
  kernels: Kernels,
  kv: KvLayout,
  spec: DecoderSpec,
  table: BlockTable,
  memoryBytes: number,
): number {
  const start = kv.offset;
  const memory = kernels.u8(start, memoryBytes - start);
  const kept = new Map<number, Uint8Array>();
  for (let p = 0; p < table.length; p++) {
    for (let layer = 0; layer < kv.numLayers; layer++) {
      const slot = slotOf(table.runs[kv.places[layer].group], p);
      if (!isSeen(spec, layer, p, table.length)) continue;
      for (let head = 0; head < kv.numKvHeads; head++) {
        const block = Math.floor(slot / BLOCK_SIZE);
        for (const [at, length] of keyAndValuePlaces(kv, block, slot % BLOCK_SIZE, layer, head)) {
          kept.set(at - start, memory.slice(at - start, at - start + length));
        }
      }
    }
  }
  memory.fill(NAN_BYTE);
  for (const [at, bytes] of kept) memory.set(bytes, at);
  return kept.size;
}

const MODELS = {
  ...modelFolders,
  /** Windows in every layer, or in every other; K and V of few heads; attention and MLP beside each other. */
  "mistral-window": familyFolder("mistral-window"),
  gemma2: familyFolder("gemma2"),
  stablelm: familyFolder("stablelm"),
};
type ModelName = keyof typeof MODELS;
const KERNELS = ["wasm", "reference"] as const satisfies readonly KernelsName[];
const TYPES = [
  { dtype: "f32", kvDtype: "f32" },
  { dtype: "int8", kvDtype: "f32" },
  { dtype: "f32", kvDtype: "int8" },
  { dtype: "f32", kvDtype: "f16" },
] as const satisfies readonly { dtype: PackedDtype; kvDtype: KvDtype }[];

/** How thoroughly a model of some types is tried on some kernels. */
interface PoisonEffort {
  /** Rows before the new one. */
  readonly lengths: readonly number[];
  /** Old values that are made NaN, one at a time. */
  readonly places: number;
}

export function testPoison({ lengths, places }: PoisonEffort): void {
  describe.each(
    (Object.keys(MODELS) as ModelName[]).flatMap((name) =>
      // The largest model in plain TypeScript takes a second for what the others do in a few milliseconds.
      (name === "stories" ? KERNELS.slice(0, 1) : KERNELS).flatMap((kernels) =>
        TYPES.map((types) => ({ name, options: { kernels, ...types } })),
      ),
    ),
  )("$name, $options.dtype, KV $options.kvDtype, on $options.kernels kernels", ({ name, options }) => {
    let loaded: Awaited<ReturnType<typeof loadInProcess>>;
    beforeAll(async () => {
      loaded = await loadInProcess(MODELS[name], options);
    });
    afterAll(() => loaded.core.kernels.dispose());

    test("a decode step needs the new row, K and V, and nothing else", () => {
      const { core, info } = loaded;
      const { kernels, kvCache } = core;
      const { numKvHeads, headDim, vocabSize } = info.config;
      const placesOfHead = 2 * headDim + (kvCache.layout.dtype === "int8" ? 2 : 0);
      const tokens = arbitraryTokens(40, vocabSize);
      for (const length of lengths) {
        const clean = new FedSequence(core);
        clean.logitsAfter(tokens.slice(0, length));
        const expected = clean.logitsAfter(tokens.slice(0, length + 1));
        clean.dispose();

        const sequence = new FedSequence(core);
        sequence.logitsAfter(tokens.slice(0, length));
        const { spec } = core.model;
        const kept = poison(kernels, kvCache.layout, spec, sequence.table, info.memoryBytes);
        const seen = spec.layers.reduce(
          (sum, { attention: { window } }) => sum + Math.min(length, (window ?? length + 1) - 1),
          0,
        );
        expect(kept).toBe(seen * numKvHeads * placesOfHead);
        const poisoned = sequence.logitsAfter(tokens.slice(0, length + 1));
        expect(firstDifferentBits(expected, poisoned), `after ${length} rows`).toBeNull();
        expect(poisoned.some(Number.isNaN)).toBe(false);
        sequence.dispose();
      }
    });

    test("a NaN in one old row of K or V makes every logit NaN, or none where no layer sees it", () => {
      const { core, info } = loaded;
      const { kernels, kvCache } = core;
      const { numLayers, numKvHeads, headDim, vocabSize } = info.config;
      const tokens = arbitraryTokens(36, vocabSize);
      const sequence = new FedSequence(core);
      const { table } = sequence;
      sequence.logitsAfter(tokens.slice(0, 35));
      const clean = sequence.logitsAfter(tokens);
      kvCache.truncate(table, 35);
      const place = fc.record({
        position: fc.nat({ max: 34 }),
        layer: fc.nat({ max: numLayers - 1 }),
        head: fc.nat({ max: numKvHeads - 1 }),
        which: fc.nat({ max: 2 * headDim - 1 }),
      });
      fc.assert(
        fc.property(place, ({ position, layer, head, which }) => {
          const slot = slotOf(table.runs[kvCache.layout.places[layer].group], position);
          const places = [
            ...keyAndValuePlaces(
              kvCache.layout,
              Math.floor(slot / BLOCK_SIZE),
              slot % BLOCK_SIZE,
              layer,
              head,
            ),
          ];
          // Of int8 only the scales can be NaN.
          const floats = places.filter(([, length]) => length > 1);
          const [at, length] = floats[which % floats.length];
          const cell = kernels.u8(at, length);
          const old = cell.slice();
          // Of f16 any that a file can hold: NaN and infinities of both signs.
          cell.set(length === 2 ? [0, [0x7e, 0xfe, 0x7c, 0xfc][which % 4]!] : [0, 0, 0xc0, 0x7f]);
          const logits = sequence.logitsAfter(tokens);
          cell.set(old);
          kvCache.truncate(table, 35);
          if (isSeen(core.model.spec, layer, position, 35)) expect(logits.every(Number.isNaN)).toBe(true);
          else expect(firstDifferentBits(clean, logits)).toBeNull();
        }),
        { numRuns: places },
      );
      sequence.dispose();
    });
  });
}

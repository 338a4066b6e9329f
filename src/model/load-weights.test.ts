import { describe, expect, test } from "vitest";
import { memoryFiles } from "../../test/memory-files.js";
import { randomModelFiles } from "../../test/random-model.js";
import { gpt2 } from "../architectures/gpt2.js";
import { matchTensors } from "../architectures/match-tensors.js";
import { readModelConfig } from "../architectures/read-config.js";
import { openCheckpoint } from "../formats/checkpoint.js";
import type { ModelFile } from "../formats/model-files.js";
import { MemoryPlan } from "../kernels/memory-plan.js";
import { referenceBackend } from "../kernels/reference/reference-backend.js";
import { widestRow } from "./decoder-spec.js";
import { planWeights } from "./decoder-weights.js";
import { loadWeights, planStaging } from "./load-weights.js";

/** Some matrices are larger than a slice of 1 MiB, most tensors are smaller. */
const MODEL = randomModelFiles({ layers: 2, heads: 2, embd: 200, inner: 1500, shards: 2 });

/** Loads the model through `read`; the bytes of all weights in memory, and most reads that were under way at once. */
async function load(read: (file: ModelFile, offset: number, target: Uint8Array) => Promise<void>) {
  const files = memoryFiles("m", MODEL);
  const stated = await readModelConfig(files);
  const { decoder, tensors } = matchTensors(await openCheckpoint(files), gpt2, stated.decoder);
  const plan = new MemoryPlan(referenceBackend);
  const before = plan.bytes;
  const { places } = planWeights(plan, decoder);
  const weightBytes = plan.bytes - before;
  const staging = planStaging(plan, widestRow(gpt2.tensors(decoder)));
  const kernels = await referenceBackend.create(plan.bytes);
  let [underWay, most] = [0, 0];
  const watched = [...tensors.values()].map((tensor) => ({
    ...tensor,
    file: {
      ...{ name: tensor.file.name, size: tensor.file.size, close: async () => undefined },
      async read(offset: number, target: Uint8Array) {
        underWay += 1;
        most = Math.max(most, underWay);
        await read(tensor.file, offset, target);
        underWay -= 1;
      },
    },
  }));
  const loadedBytes: number[] = [];
  await loadWeights(watched, places, kernels, staging, (progress) => loadedBytes.push(progress.loadedBytes));
  return { weights: kernels.u8(before, weightBytes), most, loadedBytes, slices: staging.slices };
}

function gate() {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

describe("reading ahead", () => {
  test("asks for as many slices as the staging area holds, and packs them in their order", async () => {
    const [first, second] = [gate(), gate()];
    const gates = [first.promise, second.promise];
    let reads = 0;
    const loading = load(async (file, offset, target) => {
      await gates[reads++];
      await file.read(offset, target);
    });
    // The second read is done before the first one.
    second.resolve();
    first.resolve();
    const { weights, most, loadedBytes, slices } = await loading;
    expect(most).toBe(slices);
    expect(loadedBytes).toEqual(loadedBytes.toSorted((a, b) => a - b));
    const plain = await load((file, offset, target) => file.read(offset, target));
    expect(Buffer.compare(weights, plain.weights)).toBe(0);
  });

  test("ends with the first read that fails, and those behind it raise nothing unhandled", async () => {
    let reads = 0;
    const failing = load(async () => {
      reads += 1;
      throw new Error(`read ${reads}`);
    });
    await expect(failing).rejects.toThrow("read 1");
    expect(reads).toBe(4);
  });
});

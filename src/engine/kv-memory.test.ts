import { describe, expect, it, test } from "vitest";
import { MAX_MEMORY_BYTES } from "../kernels/kernels.js";
import { chooseKvBlocks, type KvNeeds } from "./kv-memory.js";

const GB = 1e9;
const GIB = 2 ** 30;
const MB = 1e6;

/** GPT-2 124M: 12 layers of 12 heads of 64, 1,024 positions. */
const gpt2 = { asked: null, blockBytes: 1_179_648, contextBlocks: 64, otherBytes: 600 * MB };
/** As Llama 3.2 1B: 16 layers, 8 KV heads of 64, 131,072 positions; its weights as int8. */
const long = { asked: null, blockBytes: 1_048_576, contextBlocks: 8192, otherBytes: 1500 * MB };
/** A small context of many layers. */
const short = { asked: null, blockBytes: 100_000, contextBlocks: 10, otherBytes: 0 };

const left = (needs: KvNeeds) => Math.floor((MAX_MEMORY_BYTES - needs.otherBytes) / needs.blockBytes);

describe("the default", () => {
  test.each<[string, KvNeeds, number, string]>([
    ["GPT-2, 16 GiB: four contexts", { ...gpt2, machineBytes: 16 * GIB }, 256, "contexts"],
    ["GPT-2, 2 GiB: four contexts", { ...gpt2, machineBytes: 2 * GIB }, 256, "contexts"],
    ["GPT-2, 1 GB: a quarter", { ...gpt2, machineBytes: GB }, 211, "machine"],
    ["GPT-2, 256 MB: one context in more than a quarter", { ...gpt2, machineBytes: 256 * MB }, 64, "machine"],
    ["GPT-2, 100 MB: half, less than a context", { ...gpt2, machineBytes: 100 * MB }, 42, "machine"],
    ["long, 4 GiB: half", { ...long, machineBytes: 4 * GIB }, 2048, "machine"],
    [
      "long, 64 GiB: what WebAssembly leaves",
      { ...long, machineBytes: 64 * GIB },
      left({ ...long, machineBytes: 0 }),
      "wasm",
    ],
    ["exactly four contexts in a quarter", { ...short, machineBytes: 16_000_000 }, 40, "contexts"],
    ["a byte less", { ...short, machineBytes: 15_999_999 }, 39, "machine"],
    ["exactly a context in half", { ...short, machineBytes: 2_000_000 }, 10, "machine"],
    ["a byte less than that", { ...short, machineBytes: 1_999_999 }, 9, "machine"],
    ["a machine that says nothing of use", { ...short, machineBytes: 1 }, 1, "machine"],
    ["no bound of the machine's", { ...short, machineBytes: Number.POSITIVE_INFINITY }, 40, "contexts"],
    [
      "exactly what is left",
      { ...short, otherBytes: MAX_MEMORY_BYTES - 300_000, machineBytes: 16 * GIB },
      3,
      "wasm",
    ],
    // One block is planned, so that the refusal can say how much is needed.
    ["no room at all", { ...short, otherBytes: MAX_MEMORY_BYTES + 1, machineBytes: 16 * GIB }, 1, "wasm"],
  ])("%s", (_, needs, blocks, bound) => {
    expect(chooseKvBlocks(needs)).toEqual({ blocks, bound });
  });
});

it("takes what was asked for, whatever the machine has, in whole blocks", () => {
  const needs = { ...short, machineBytes: 1, otherBytes: MAX_MEMORY_BYTES };
  expect(chooseKvBlocks({ ...needs, asked: 6 * GB })).toEqual({ blocks: 60_000, bound: "asked" });
  expect(chooseKvBlocks({ ...needs, asked: 199_999 })).toEqual({ blocks: 1, bound: "asked" });
  expect(() => chooseKvBlocks({ ...needs, asked: 99_999 })).toThrow(
    /one KV block of this model takes 100000/,
  );
});

/** Checkpoints of every family that are damaged: one sentence, and nothing but that. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LastrowError } from "../../src/errors.js";
import { load } from "../../src/library/load.js";
import { type FamilyContents, familyContents, modelContents, type StoredTensor } from "../family-files.js";
import { familyNames } from "../fixture-models.js";
import { memoryFiles } from "../memory-files.js";

const quiet = { threads: 1, worker: false, kernels: "reference" } as const;

async function loadContents(contents: FamilyContents): Promise<void> {
  const files = memoryFiles("damaged", modelContents(contents));
  try {
    await using lm = await load(files, quiet);
    expect(lm.info.parameters).toBeGreaterThan(0);
  } finally {
    expect(files.openFiles).toEqual([]);
  }
}

/** The bytes of an f32, an f16 or a bf16 that is no number. */
const NAN_BYTES: Record<string, number[]> = { F32: [0, 0, 0xc0, 0x7f], F16: [0, 0x7e], BF16: [0xc0, 0x7f] };

const number = fc.oneof(
  fc.integer({ min: -2, max: 200 }),
  fc.constantFrom(0.5, 2 ** 31, 2 ** 53, 1e308, 1 << 20),
);
/** What a tensor's entry is made into: another one, or none. */
const damage = fc.oneof(
  fc.record({ dtype: fc.constantFrom("F32", "F16", "BF16", "F64", "I8", "F8_E4M3", "", "constructor") }),
  fc.record({ shape: fc.array(number, { maxLength: 3 }) }),
  fc.record({ data_offsets: fc.tuple(number, number) }),
  fc.constant(null),
);

describe.each(familyNames)("%s", (name) => {
  const contents = familyContents(name);
  const names = Object.keys(contents.tensors);

  test("a weight that is no number is named", async () => {
    // A norm's gain, a product that is alone, and one of each that is a part of a weight.
    const kinds =
      /(norm|ln_1|layernorm)\.weight$|(k_proj|v_proj|up_proj|qkv_proj|gate_up_proj|query_key_value|down_proj|c_fc|embed_in|wte)\.weight$/;
    const chosen = names.filter((tensor) => kinds.test(tensor) && !/\.[1-9]\./.test(tensor));
    expect(chosen.length).toBeGreaterThan(3);
    for (const tensor of chosen) {
      const { dtype, data_offsets } = contents.tensors[tensor]!;
      const data = contents.data.slice();
      data.set(NAN_BYTES[dtype]!, data_offsets[1] - NAN_BYTES[dtype]!.length);
      await expect(loadContents({ ...contents, data })).rejects.toMatchObject({
        code: "weights_not_finite",
        message: `model.safetensors: tensor "${tensor}" holds a NaN or an infinity; every weight must be a finite number.`,
      });
    }
  });

  test("an entry of the file that is changed is refused in one sentence, or harmless", async () => {
    let refused = 0;
    const property = fc.asyncProperty(fc.constantFrom(...names), damage, async (tensor, changed) => {
      const tensors: Record<string, StoredTensor> = { ...contents.tensors };
      if (changed === null) delete tensors[tensor];
      else tensors[tensor] = { ...tensors[tensor]!, ...(changed as Partial<StoredTensor>) };
      try {
        await loadContents({ ...contents, tensors });
      } catch (error) {
        if (!(error instanceof LastrowError)) throw error;
        expect(["model_file_invalid", "model_unsupported", "weights_not_finite"]).toContain(error.code);
        expect(error.message).toMatch(/^[^\n]+\.$/);
        refused += 1;
      }
    });
    await fc.assert(property, { numRuns: 15 });
    expect(refused).toBeGreaterThan(7);
  });
});

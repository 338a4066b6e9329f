import { describe, expect, it, test } from "vitest";
import {
  checkMetadata,
  type ExpectedMetadata,
  numericsVersion,
  type SequenceIdentity,
  savedMetadata,
} from "./saved-metadata.js";

const IDENTITY: SequenceIdentity = {
  ...{
    fingerprint: "f".repeat(64),
    earlierFingerprints: [],
    dtypes: ["f32"],
    kvDtype: "f32",
    rotaryTable: null,
  },
};
const EXPECTED: ExpectedMetadata = {
  ...{ fileName: "a.kv", identity: IDENTITY, vocabSize: 100, contextLength: 8, maxContextLength: 32 },
};

function saved(identity: Partial<SequenceIdentity> = {}, count = 3): Map<string, string> {
  const tokens = Array.from({ length: count }, (_, i) => i);
  const contents = { tokens, blockDigests: ["0".repeat(64)], hasAll: true };
  return new Map(Object.entries(savedMetadata({ ...IDENTITY, ...identity }, contents, null)));
}

function refusal(metadata: Map<string, string>, expected: Partial<ExpectedMetadata> = {}): unknown {
  try {
    checkMetadata(metadata, { ...EXPECTED, ...expected });
    return null;
  } catch (error) {
    return error;
  }
}

describe("the table of rotary frequencies", () => {
  it("is stated where a model has two, and refused where it is the other", () => {
    for (const rotaryTable of ["short", "long"] as const) {
      const metadata = saved({ rotaryTable });
      expect(metadata.get("rotary_table")).toBe(rotaryTable);
      expect(refusal(metadata, { identity: { ...IDENTITY, rotaryTable } })).toBeNull();
    }
    expect(
      refusal(saved({ rotaryTable: "short" }), { identity: { ...IDENTITY, rotaryTable: "long" } }),
    ).toMatchObject({
      code: "saved_sequence_mismatch",
      message:
        'a.kv was saved with another table of rotary frequencies, which the context\'s length chooses: it is "short", here it is "long".',
    });
  });

  it("is not stated where a model has one: the fields are those of earlier files", () => {
    const fields = ["format", "format_version", "fingerprint", "dtype", "kv_dtype", "numerics_version"];
    expect([...saved().keys()]).toEqual([...fields, "token_ids", "block_sha256", "metadata_sha256"]);
    expect(refusal(saved())).toBeNull();
  });

  it("cannot be changed, added or taken away unnoticed", () => {
    const other = saved({ rotaryTable: "short" }).set("rotary_table", "long");
    const added = saved().set("rotary_table", "long");
    const without = saved({ rotaryTable: "short" });
    without.delete("rotary_table");
    for (const metadata of [other, added, without]) {
      expect(refusal(metadata, { identity: { ...IDENTITY, rotaryTable: "long" } })).toMatchObject({
        code: "saved_sequence_invalid",
        message: "a.kv is damaged: its metadata do not have the SHA-256 that they state.",
      });
    }
  });
});

test("what fits the context that the model is loaded with is taken, whatever it was when it was saved", () => {
  expect(refusal(saved({}, 8))).toBeNull();
  expect(refusal(saved({}, 9))).toMatchObject({
    code: "saved_sequence_mismatch",
    message: "a.kv has 9 tokens, and the model is loaded with a context of 8: load it with a longer one.",
  });
  expect(refusal(saved({}, 33))).toMatchObject({
    code: "saved_sequence_invalid",
    message: "a.kv has 33 tokens, and the model's context has 32.",
  });
});

test("matrices of several types are all named", () => {
  const metadata = saved({ dtypes: ["q4_k", "q6_k"] });
  expect(metadata.get("dtype")).toBe("q4_k+q6_k");
  expect(metadata.get("numerics_version")).toBe("1");
  expect(refusal(metadata, { identity: { ...IDENTITY, dtypes: ["q4_k", "q6_k"] } })).toBeNull();
  expect(refusal(metadata)).toMatchObject({
    code: "saved_sequence_mismatch",
    message: 'a.kv was saved with other weights: their dtype is "q4_k+q6_k", here it is "f32".',
  });
});

test("numerics versions of weights and of K and V: one number where they are the same, and never the same for two pairs", () => {
  expect(numericsVersion([1], 1)).toBe("1");
  expect(numericsVersion([1, 1], 1)).toBe("1");
  const weights = [[1], [2], [11], [12], [1, 2], [2, 1], [1, 12], [11, 2]];
  const pairs = weights.flatMap((versions) => [1, 2, 11, 12].map((kv) => numericsVersion(versions, kv)));
  expect(new Set(pairs).size).toBe(pairs.length);
});

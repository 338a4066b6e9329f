/**
 * Every check of a header, by a file that fails it and nothing else: one sentence that names the file, the key or the
 * tensor, what was found and what was expected. The known holes of other readers are here by their numbers.
 */
import { describe, expect, test } from "vitest";
import { ggufValue, writeGguf } from "../../../scripts/gguf-writer.js";
import { memoryFile } from "../../../test/memory-files.js";
import {
  LIST,
  parseRaw,
  type RawGguf,
  type RawKey,
  rawBytes,
  rawText,
  TEXT,
  u32Bytes,
} from "../../../test/raw-gguf.js";
import { LastrowError } from "../../errors.js";
import { readGgufHeader } from "./gguf-header.js";
import { GGUF_LIMITS, type GgufLimits } from "./gguf-limits.js";

const base = writeGguf({
  metadata: {
    "general.architecture": ggufValue.text("llama"),
    "llama.block_count": ggufValue.u32(1),
    "tokenizer.ggml.tokens": ggufValue.texts(["a", "b", "c"]),
    "tokenizer.ggml.scores": ggufValue.f32s([0, -1, -2]),
    "tokenizer.ggml.add_bos_token": ggufValue.flag(true),
  },
  tensors: [
    { name: "a.weight", dtype: "F32", shape: [2, 8], data: new Uint8Array(64) },
    { name: "b.weight", dtype: "Q8_0", shape: [2, 32], data: new Uint8Array(68) },
  ],
});

/** What is wrong with the file that `change` makes of a sound one, or gives in its place. */
async function refusal(
  change: (file: RawGguf) => unknown,
  limits: GgufLimits = GGUF_LIMITS,
): Promise<{ code: string; message: string }> {
  const raw = parseRaw(base);
  const changed = change(raw);
  const bytes = changed instanceof Uint8Array ? changed : rawBytes(raw);
  const file = memoryFile("m.gguf", bytes);
  try {
    await readGgufHeader(file, limits);
  } catch (error) {
    if (!(error instanceof LastrowError)) throw error;
    expect(error.message).toMatch(/^m\.gguf[: ][^\n]+\.$/);
    expect(file.closed).toBe(false);
    return { code: error.code, message: error.message };
  }
  throw new Error("accepted");
}

type Case = readonly [name: string, change: (file: RawGguf) => unknown, message: string];

function refused(code: string, cases: readonly Case[], limits?: GgufLimits): void {
  test.each(cases)("%s", async (_, change, message) => {
    const found = await refusal(change, limits);
    expect(found.message).toContain(message);
    expect(found.code).toBe(code);
  });
}

const key = (name: string, type: number, value: RawKey["value"]): RawKey => ({
  key: rawText(name),
  type,
  value,
});
const u8 = Uint8Array.of(7);
const u64Bytes = (value: bigint) => new Uint8Array(BigUint64Array.of(value).buffer);

test("the file that all of these are made of is sound", async () => {
  const header = await readGgufHeader(memoryFile("m.gguf", rawBytes(parseRaw(base))));
  expect([...header.tensors.keys()]).toEqual(["a.weight", "b.weight"]);
});

describe("version", () => {
  refused("model_unsupported", [
    [
      "0",
      (file) => Object.assign(file, { version: 0 }),
      "has version 0 of GGUF, but only versions 2 and 3 are read",
    ],
    [
      "1",
      (file) => Object.assign(file, { version: 1 }),
      "has version 1 of GGUF, as files of its first weeks have, but only versions 2 and 3",
    ],
    ["4", (file) => Object.assign(file, { version: 4 }), "has version 4 of GGUF, but only"],
    [
      "3, byte-swapped",
      (file) => Object.assign(file, { version: 3 << 24 }),
      "is a big-endian GGUF file; only little-endian ones are read",
    ],
    ["2, byte-swapped", (file) => Object.assign(file, { version: 2 << 24 }), "is a big-endian GGUF file"],
  ]);
  refused("model_file_invalid", [
    [
      "another format",
      (file) => Object.assign(file, { magic: "ggjt" }),
      'does not begin with "GGUF": it is not a GGUF file',
    ],
    [
      "a byte more than nothing",
      () => new Uint8Array(1),
      "has 1 bytes: too short for a GGUF file, which starts with 24",
    ],
    ["no byte", () => new Uint8Array(0), "has 0 bytes: too short"],
  ]);

  test("2 is 3", async () => {
    const header = await readGgufHeader(memoryFile("m.gguf", rawBytes({ ...parseRaw(base), version: 2 })));
    expect(header.tensors.size).toBe(2);
  });
});

describe("counts that what is left of the file cannot hold, before anything is allocated", () => {
  refused("model_file_invalid", [
    // CVE-2024-21802 and its siblings: counts of keys, tensors and elements, lengths of texts, dimensions.
    [
      "2^63 tensors",
      (file) => Object.assign(file, { tensorCount: 2n ** 63n }),
      "states 9223372036854775808 tensors of at least 33 bytes each, but has",
    ],
    [
      "tensors as many as bytes",
      (file) => Object.assign(file, { tensorCount: 640n }),
      "states 640 tensors of at least 33 bytes each",
    ],
    [
      "2^64 - 1 keys",
      (file) => Object.assign(file, { keyCount: 2n ** 64n - 1n }),
      "states 18446744073709551615 keys of at least 14 bytes each",
    ],
    [
      "2^32 keys",
      (file) => Object.assign(file, { keyCount: 2n ** 32n }),
      "states 4294967296 keys of at least 14 bytes each, but has",
    ],
    [
      "a key of 2^64 - 1 bytes",
      (file) => Object.assign(file.keys[1]!.key, { length: 2n ** 64n - 1n }),
      "states 18446744073709551615 bytes for key 2 of 5, but has",
    ],
    [
      "a text of 2^63 bytes",
      ({ keys: [first] }) => Object.assign(first!.value, { length: 2n ** 63n }),
      'states 9223372036854775808 bytes for key "general.architecture", but has',
    ],
    [
      "2^63 numbers",
      ({ keys }) => Object.assign(keys[3]!.value, { count: 2n ** 63n }),
      'states 9223372036854775808 elements of f32 for key "tokenizer.ggml.scores", but has',
    ],
    [
      "2^62 numbers, whose bytes wrap to nothing",
      ({ keys }) => Object.assign(keys[3]!.value, { count: 2n ** 62n }),
      "states 4611686018427387904 elements of f32",
    ],
    [
      "2^61 texts, whose bytes wrap to nothing",
      ({ keys }) => Object.assign(keys[2]!.value, { count: 2n ** 61n }),
      'states 2305843009213693952 elements of string for key "tokenizer.ggml.tokens", but has',
    ],
    // CVE-2025-49847.
    [
      "a token of 2^31 bytes",
      ({ keys }) =>
        Object.assign((keys[2]!.value as { elements: object[] }).elements[1]!, { length: 2n ** 31n }),
      'states 2147483648 bytes for element 1 of key "tokenizer.ggml.tokens", but has',
    ],
    [
      "a tensor's name of 2^40 bytes",
      (file) => Object.assign(file.tensors[1]!.name, { length: 2n ** 40n }),
      "states 1099511627776 bytes for tensor 2 of 2, but has",
    ],
    ["more keys than there are", (file) => Object.assign(file, { keyCount: 6n }), "m.gguf"],
    ["more tensors than there are", (file) => Object.assign(file, { tensorCount: 3n }), "m.gguf"],
  ]);

  // gguf-py 0.19 does not end on one like it.
  test("43 bytes with a list of 2^63 elements", async () => {
    const { message } = await refusal((file) => {
      file.keys = [key("k", LIST, { elementType: 4, count: 2n ** 63n, elements: new Uint8Array(0) })];
      file.tensors = [];
      return rawBytes({ ...file, alignment: 1, data: new Uint8Array(0) });
    });
    expect(message).toContain(
      'states 9223372036854775808 elements of u32 for key "k", but has 0 bytes for them',
    );
  });

  test("a file that ends anywhere in its header, or in its data", async () => {
    const header = rawBytes({ ...parseRaw(base), data: new Uint8Array(0), alignment: 1 });
    for (let size = 0; size < base.length; size++) {
      if (size >= header.length && size >= base.length - 28) continue;
      const { code, message } = await refusal(() => base.slice(0, size));
      expect(code).toBe("model_file_invalid");
      expect(message).toMatch(/too short|truncated|but has (only )?\d+ bytes/);
    }
  });
});

describe("keys and names", () => {
  refused("model_file_invalid", [
    [
      "an empty key",
      (file) => Object.assign(file.keys[1]!, { key: rawText("") }),
      "has an empty name for key 2 of 5",
    ],
    [
      "a key with a NUL",
      (file) => Object.assign(file.keys[1]!, { key: rawText("a\0b") }),
      'has a NUL in the name of key 2 of 5, "a\\u0000b"',
    ],
    [
      "a key twice",
      (file) => Object.assign(file.keys[1]!, { key: file.keys[0]!.key }),
      'has key "general.architecture" twice',
    ],
    [
      "__proto__ twice",
      (file) => file.keys.push(key("__proto__", 0, u8), key("__proto__", 0, u8)),
      'has key "__proto__" twice',
    ],
    [
      "a key that is not UTF-8",
      (file) => Object.assign(file.keys[1]!, { key: { bytes: Uint8Array.of(0x61, 0xff), length: null } }),
      'has bytes in key 2 of 5 that are not UTF-8: "a\ufffd"',
    ],
    [
      "a key of 65,536 bytes",
      (file) => Object.assign(file.keys[1]!, { key: rawText("k".repeat(65_536)) }),
      "states 65536 bytes for key 2 of 5; at most 65535 are read",
    ],
    [
      "an empty name",
      (file) => Object.assign(file.tensors[1]!, { name: rawText("") }),
      "has an empty name for tensor 2 of 2",
    ],
    [
      "a name with a NUL",
      (file) => Object.assign(file.tensors[1]!, { name: rawText("b\0") }),
      "has a NUL in the name of tensor 2 of 2",
    ],
    [
      "a name twice",
      (file) => Object.assign(file.tensors[1]!, { name: file.tensors[0]!.name }),
      'has two tensors "a.weight"',
    ],
    [
      "a name of 64 bytes",
      (file) => Object.assign(file.tensors[1]!, { name: rawText("n".repeat(64)) }),
      "states 64 bytes for tensor 2 of 2; at most 63 are read",
    ],
    [
      "a name that is not UTF-8",
      (file) => Object.assign(file.tensors[1]!, { name: { bytes: Uint8Array.of(0xc0, 0x80), length: null } }),
      "has bytes in tensor 2 of 2 that are not UTF-8",
    ],
  ]);

  test("may be __proto__, and the longest", async () => {
    const raw = parseRaw(base);
    const longest = "k".repeat(65_535);
    raw.keys.push(key("__proto__", 0, u8), key("constructor", 0, u8), key(longest, 0, u8));
    raw.tensors[0]!.name = rawText("__proto__");
    raw.tensors[1]!.name = rawText("n".repeat(63));
    const { metadata, tensors } = await readGgufHeader(memoryFile("m.gguf", rawBytes(raw)));
    expect([...metadata.keys()].slice(5)).toEqual(["__proto__", "constructor", longest]);
    expect(metadata.wholeNumber("__proto__", { from: 0, to: 9 })).toBe(7);
    expect(metadata.has("toString")).toBe(false);
    expect([...tensors.keys()]).toEqual(["__proto__", "n".repeat(63)]);
  });
});

describe("values", () => {
  const notText = { bytes: Uint8Array.of(0x61, 0xe2, 0x82), length: null };
  refused("model_file_invalid", [
    [
      "a text that is not UTF-8",
      ({ keys }) => Object.assign(keys[0]!, { value: notText }),
      'has bytes in key "general.architecture" that are not UTF-8: "a\ufffd"',
    ],
    [
      "a token that is not UTF-8",
      ({ keys }) => Object.assign((keys[2]!.value as { elements: object[] }).elements, { 2: notText }),
      'has bytes in element 2 of key "tokenizer.ggml.tokens" that are not UTF-8',
    ],
    [
      "a surrogate in UTF-8",
      ({ keys }) =>
        Object.assign(keys[0]!, { value: { bytes: Uint8Array.of(0xed, 0xa0, 0x80), length: null } }),
      "that are not UTF-8",
    ],
    [
      "a type that there is not",
      ({ keys }) => Object.assign(keys[1]!, { type: 13 }),
      'has key "llama.block_count" of type 13, but must have one from 0 to 12',
    ],
    [
      "a type of 2^32 - 1",
      ({ keys }) => Object.assign(keys[1]!, { type: 2 ** 32 - 1 }),
      "of type 4294967295",
    ],
    [
      "an element type that there is not",
      ({ keys }) => Object.assign(keys[3]!.value, { elementType: 99 }),
      'has key "tokenizer.ggml.scores" of type 99, but must have',
    ],
    [
      "lists within lists",
      ({ keys }) => Object.assign(keys[3]!.value, { elementType: LIST }),
      'has lists within lists at key "tokenizer.ggml.scores"',
    ],
    [
      "a truth value of 2",
      ({ keys }) => Object.assign(keys[4]!, { value: Uint8Array.of(2) }),
      'has 2 as a truth value at key "tokenizer.ggml.add_bos_token", but must have 0 or 1',
    ],
    [
      "a list with a truth value of 255",
      (file) =>
        file.keys.push(key("k", LIST, { elementType: 7, count: null, elements: Uint8Array.of(0, 1, 255) })),
      'has 255 as a truth value at key "k"',
    ],
    [
      "a text of more than 4 MiB",
      (file) =>
        file.keys.push(key("k", TEXT, { bytes: new Uint8Array(4 * 2 ** 20 + 1).fill(97), length: null })),
      'states 4194305 bytes for key "k"; at most 4194304 are read',
    ],
    [
      "a token of 65,536 bytes",
      ({ keys }) => ((keys[2]!.value as { elements: object[] }).elements[0] = rawText("t".repeat(65_536))),
      'states 65536 bytes for element 0 of key "tokenizer.ggml.tokens"; at most 65535 are read',
    ],
  ]);

  test("a byte order mark is a character, an empty text a text", async () => {
    const raw = parseRaw(base);
    raw.keys[2]!.value = { elementType: TEXT, count: null, elements: ["\ufeff", "", "\ufeffa"].map(rawText) };
    const { metadata } = await readGgufHeader(memoryFile("m.gguf", rawBytes(raw)));
    expect(metadata.texts("tokenizer.ggml.tokens")).toEqual(["\ufeff", "", "\ufeffa"]);
  });
});

describe("alignment", () => {
  const stated = (type: number, value: Uint8Array) => (file: RawGguf) =>
    file.keys.push(key("general.alignment", type, value));
  const expected = "but must be a power of two from 8 to 65536 (u32)";
  refused("model_file_invalid", [
    ...[0, 1, 3, 4, 33, 96, 131_072, 2 ** 31].map(
      (value): Case => [
        `${value}`,
        stated(4, u32Bytes(value)),
        `key "general.alignment" is ${value} (u32), ${expected}`,
      ],
    ),
    ["of u64", stated(10, u64Bytes(32n)), `key "general.alignment" is 32 (u64), ${expected}`],
    ["of f32", stated(6, new Uint8Array(Float32Array.of(32).buffer)), "is 32 (f32), but must be"],
  ]);
});

describe("sizes of tensors", () => {
  const sized =
    (...sizes: readonly bigint[]) =>
    ({ tensors }: RawGguf) =>
      (tensors[0]!.sizes = [...sizes]);
  const big = 2n ** 31n;
  refused("model_file_invalid", [
    ["no dimension", sized(), 'has tensor "a.weight" with 0 dimensions, but it must have 1 to 4'],
    ["five dimensions", sized(1n, 1n, 1n, 1n, 1n), 'has tensor "a.weight" with 5 dimensions'],
    [
      "2^32 - 1 dimensions",
      ({ tensors }) => Object.assign(tensors[0]!, { dimensions: 2 ** 32 - 1 }),
      "with 4294967295 dimensions",
    ],
    [
      "a dimension of 0",
      sized(8n, 0n),
      'has tensor "a.weight" with a dimension of 0, but it must be from 1 to 2147483648',
    ],
    ["a dimension of 2^31 + 1", sized(big + 1n), "with a dimension of 2147483649"],
    ["a dimension of 2^64 - 1", sized(2n ** 64n - 1n), "with a dimension of 18446744073709551615"],
    // CVE-2026-33298: in 64 bits the product is 0, or small.
    [
      "a product of 2^64",
      sized(big, big, 4n),
      'has tensor "a.weight" with dimensions whose product passes 2^53 - 1',
    ],
    ["a product of 2^64 + 2^33", sized(big, big, 2n, 2n), "whose product passes 2^53 - 1"],
    ["a product of 2^124", sized(big, big, big, big), "whose product passes 2^53 - 1"],
    // CVE-2026-7482: larger than the data.
    [
      "a row too many",
      sized(8n, 3n * 2n ** 20n),
      'has tensor "a.weight" of 100663296 bytes at offset 0, but only',
    ],
    [
      "2^53 - 2^31 values of F32, whose bytes pass 2^53",
      sized(big, 2n ** 22n - 1n),
      'has tensor "a.weight" of 36028788429029376 bytes at offset 0, but only 160 bytes of data',
    ],
    [
      "a row that is no whole run",
      ({ tensors }) => Object.assign(tensors[1]!, { sizes: [31n, 2n] }),
      'has tensor "b.weight" of Q8_0 with rows of 31 values, but they must be multiples of 32',
    ],
    [
      "a row of Q4_K that is no whole run",
      ({ tensors }) => Object.assign(tensors[1]!, { type: 12, sizes: [128n, 2n] }),
      "of Q4_K with rows of 128 values, but they must be multiples of 256",
    ],
  ]);
});

describe("types of tensors", () => {
  const typed =
    (type: number) =>
    ({ tensors }: RawGguf) =>
      (tensors[0]!.type = type);
  const read =
    "what is read is F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS.";
  const names = {
    ...{
      9: "Q8_1",
      10: "Q2_K",
      15: "Q8_K",
      16: "IQ2_XXS",
      17: "IQ2_XS",
      18: "IQ3_XXS",
      19: "IQ1_S",
      21: "IQ3_S",
    },
    ...{
      22: "IQ2_S",
      24: "I8",
      25: "I16",
      26: "I32",
      27: "I64",
      28: "F64",
      29: "IQ1_M",
      34: "TQ1_0",
      35: "TQ2_0",
    },
    ...{ 39: "MXFP4", 40: "NVFP4", 41: "Q1_0" },
  };
  refused("model_unsupported", [
    ...Object.entries(names).map(
      ([type, name]): Case => [name, typed(Number(type)), `has tensor "a.weight" of type ${name}; ${read}`],
    ),
    ...[4, 5, 31, 32, 33, 36, 37, 38].map(
      (type): Case => [
        `${type}`,
        typed(type),
        `of type ${type}, which was removed from the format; what is read`,
      ],
    ),
    ["99", typed(99), 'has tensor "a.weight" of type 99, which is not known; what is read'],
    ["2^32 - 1", typed(2 ** 32 - 1), "of type 4294967295, which is not known"],
  ]);
});

describe("places of tensors", () => {
  const at =
    (offset: bigint, tensor = 1) =>
    ({ tensors }: RawGguf) =>
      (tensors[tensor]!.offset = offset);
  refused("model_file_invalid", [
    ["not aligned", at(65n), 'has tensor "b.weight" at offset 65, but it must be at a multiple of 32'],
    [
      "aligned for another alignment",
      (file) => {
        file.keys.push(key("general.alignment", 4, u32Bytes(128)));
        file.alignment = 128;
        file.data = new Uint8Array(1024);
      },
      'has tensor "b.weight" at offset 64, but it must be at a multiple of 128',
    ],
    ["the same place", at(0n), 'has tensor "b.weight" at offset 0, where it overlaps tensor "a.weight"'],
    ["the same place, in the other order", at(64n, 0), "at offset 64, where it overlaps tensor"],
    [
      "one within the other",
      (file) => {
        file.tensors[0]!.sizes = [32n];
        file.tensors[1]!.offset = 96n;
        file.data = new Uint8Array(256);
      },
      'has tensor "b.weight" at offset 96, where it overlaps tensor "a.weight"',
    ],
    [
      "behind the file",
      at(2n ** 20n),
      'has tensor "b.weight" of 68 bytes at offset 1048576, but only 160 bytes of data: it is truncated',
    ],
    [
      "the last byte behind the file",
      (file) => Object.assign(file, { data: file.data.subarray(0, 64 + 67) }),
      'has tensor "b.weight" of 68 bytes at offset 64, but only 131 bytes',
    ],
    ["at 2^63", at(2n ** 63n), 'has tensor "b.weight" at offset 9223372036854775808'],
    // CVE-2025-53630 and CVE-2026-27940: offset and size, and the sum of all sizes, wrap to something small.
    ["where its end wraps to 4", at(2n ** 64n - 64n), 'has tensor "b.weight" at offset 18446744073709551552'],
    [
      "where its end wraps in 53 bits",
      at(2n ** 53n - 64n),
      "at offset 9007199254740928, but only 160 bytes of data",
    ],
    [
      "sizes whose sum wraps in 64 bits",
      (file) => {
        for (const tensor of file.tensors)
          Object.assign(tensor, { type: 0, sizes: [2n ** 31n, 2n ** 21n], offset: 0n });
      },
      'has tensor "a.weight" of 18014398509481984 bytes at offset 0',
    ],
  ]);

  test("may have holes between them, any order, and bytes behind the last", async () => {
    const raw = parseRaw(base);
    raw.tensors[0]!.offset = 256n;
    raw.tensors[1]!.offset = 32n;
    raw.data = new Uint8Array(1000);
    const bytes = rawBytes(raw);
    const { tensors } = await readGgufHeader(memoryFile("m.gguf", bytes));
    const dataStart = bytes.length - 1000;
    expect([...tensors.values()]).toEqual([
      { name: "b.weight", dtype: "Q8_0", shape: [2, 32], begin: dataStart + 32, end: dataStart + 100 },
      { name: "a.weight", dtype: "F32", shape: [2, 8], begin: dataStart + 256, end: dataStart + 320 },
    ]);
  });

  test("a file without tensors may end where its header ends", async () => {
    const raw = { ...parseRaw(base), tensors: [], alignment: 1, data: new Uint8Array(0) };
    const { tensors, metadata } = await readGgufHeader(memoryFile("m.gguf", rawBytes(raw)));
    expect(tensors.size).toBe(0);
    expect(metadata.texts("tokenizer.ggml.tokens")).toEqual(["a", "b", "c"]);
  });
});

describe("limits", () => {
  const few = {
    ...GGUF_LIMITS,
    headerBytes: 1000,
    keys: 6,
    tensors: 2,
    textBytes: 50,
    listedTextBytes: 10,
    listedTexts: 5,
  };
  const texts = (...of: readonly string[]) => ({ elementType: TEXT, count: null, elements: of.map(rawText) });
  refused(
    "model_file_invalid",
    [
      [
        "too many keys",
        (file) => file.keys.push(key("k", 0, u8), key("l", 0, u8)),
        "states 7 keys; at most 6 are read",
      ],
      [
        "too many tensors",
        (file) => file.tensors.push(...file.tensors.slice(1)),
        "states 3 tensors; at most 2 are read",
      ],
      [
        "too many texts in a list",
        (file) => file.keys.push(key("k", LIST, texts("", "", "", "", "", ""))),
        'has more than 5 texts in lists, which are the most that are read: 6 are in key "k"',
      ],
      [
        "too many texts in two lists",
        (file) => file.keys.push(key("k", LIST, texts("", "", ""))),
        '3 are in key "k"',
      ],
      [
        "a text that is too long",
        (file) => file.keys.push(key("k", TEXT, rawText("t".repeat(51)))),
        'states 51 bytes for key "k"; at most 50 are read',
      ],
      [
        "a token that is too long",
        (file) => file.keys.push(key("k", LIST, texts("t".repeat(11)))),
        'states 11 bytes for element 0 of key "k"; at most 10 are read',
      ],
      [
        "a list that the longest header cannot hold",
        (file) =>
          file.keys.push(key("k", LIST, { elementType: 0, count: null, elements: new Uint8Array(900) })),
        'states 900 elements of u8 for key "k", but has',
      ],
      [
        "a header that is too long",
        (file) => {
          file.keys.push(key("k", LIST, { elementType: 0, count: 600n, elements: new Uint8Array(600) }));
          file.tensors[0]!.name = rawText("n".repeat(60));
          file.tensors[1]!.sizes = [32n, 1n, 1n, 2n];
        },
        "has a header that does not end within 1000 bytes, which are the most that are read: tensor",
      ],
    ],
    few,
  );

  test("are above all of the largest models that are published", () => {
    // Gemma 3's tokens with their merges; the tensors of 126 layers; half a megabyte of template.
    expect(GGUF_LIMITS.listedTexts).toBeGreaterThan(262_208 + 514_906);
    expect(GGUF_LIMITS.tensors).toBeGreaterThan(126 * 20);
    expect(GGUF_LIMITS.textBytes).toBeGreaterThan(512 * 1024);
    expect(GGUF_LIMITS.headerBytes).toBeGreaterThan(32 * 1024 * 1024);
  });
});

import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { ggufValue, writeGguf } from "../../../scripts/gguf-writer.js";
import { memoryFile } from "../../../test/memory-files.js";
import { LastrowError } from "../../errors.js";
import { readGgufHeader } from "./gguf-header.js";
import { GgufMetadata, type GgufValue } from "./gguf-metadata.js";
import { shortestDecimal } from "./shortest-decimal.js";

const values: Readonly<Record<string, GgufValue>> = {
  u8: ggufValue.u8(255),
  i8: { type: "i8", value: -128 },
  u16: ggufValue.u16(65_535),
  i16: { type: "i16", value: -32_768 },
  u32: ggufValue.u32(2 ** 32 - 1),
  i32: ggufValue.i32(-(2 ** 31)),
  u64: ggufValue.u64(2n ** 64n - 1n),
  i64: { type: "i64", value: -(2n ** 63n) },
  smallU64: ggufValue.u64(2 ** 53 - 1),
  smallI64: { type: "i64", value: -5 },
  f32: ggufValue.f32(Math.fround(1e-5)),
  f64: { type: "f64", value: 1e-5 },
  infinite: ggufValue.f32(Infinity),
  notANumber: { type: "f64", value: Number.NaN },
  bool: ggufValue.flag(false),
  string: ggufValue.text("▁Ünïcode 🙂"),
  texts: ggufValue.texts(["", "a", "\u0000", "日本"]),
  u8s: { type: "array", elementType: "u8", values: Uint8Array.of(0, 1, 255) },
  i8s: { type: "array", elementType: "i8", values: Int8Array.of(-1) },
  u16s: { type: "array", elementType: "u16", values: Uint16Array.of(65_535) },
  i16s: { type: "array", elementType: "i16", values: Int16Array.of(-2) },
  u32s: { type: "array", elementType: "u32", values: Uint32Array.of(1, 2) },
  i32s: ggufValue.i32s([8, 8, 4]),
  u64s: { type: "array", elementType: "u64", values: BigUint64Array.of(2n ** 64n - 1n, 3n) },
  i64s: { type: "array", elementType: "i64", values: BigInt64Array.of(-1n, 4n) },
  f32s: ggufValue.f32s([0.5, -1]),
  f64s: { type: "array", elementType: "f64", values: Float64Array.of(0.1) },
  infinites: ggufValue.f32s([1, -Infinity]),
  bools: { type: "array", elementType: "bool", values: Uint8Array.of(1, 0, 1) },
  none: { type: "array", elementType: "u32", values: new Uint32Array(0) },
};

async function read(metadata: Readonly<Record<string, GgufValue>>): Promise<GgufMetadata> {
  return (await readGgufHeader(memoryFile("m.gguf", writeGguf({ metadata, tensors: [] })))).metadata;
}

test("values of every type come back as they were written", async () => {
  const metadata = await read(values);
  expect([...metadata.keys()]).toEqual(Object.keys(values));
  expect(Object.fromEntries(metadata.entries())).toEqual(values);
  expect(metadata.size).toBe(Object.keys(values).length);
});

test("whatever is written comes back", async () => {
  const characters = fc.array(fc.constantFrom("a", " ", "\0", "é", "▁", "日", "\ufeff", "🙂"), {
    maxLength: 20,
  });
  const text = characters.map((one) => one.join(""));
  const value: fc.Arbitrary<GgufValue> = fc.oneof(
    text.map(ggufValue.text),
    fc.array(text, { maxLength: 5 }).map(ggufValue.texts),
    fc.integer({ min: 0, max: 2 ** 32 - 1 }).map(ggufValue.u32),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }).map(ggufValue.u64),
    fc.float().map(ggufValue.f32),
    fc.array(fc.float(), { maxLength: 5 }).map(ggufValue.f32s),
  );
  const key = fc.string({ minLength: 1, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(fc.dictionary(key, value, { maxKeys: 4, noNullPrototype: true }), async (metadata) => {
      expect(Object.fromEntries((await read(metadata)).entries())).toEqual(metadata);
    }),
    { numRuns: 30 },
  );
});

describe("getters", () => {
  const metadata = new GgufMetadata("m.gguf", new Map(Object.entries(values)));
  const any = { from: -(2 ** 53), to: 2 ** 53 };

  it("give what is there, of any type that has it", () => {
    expect(metadata.text("string")).toBe("▁Ünïcode 🙂");
    expect(metadata.wholeNumber("u8", any)).toBe(255);
    expect(metadata.wholeNumber("i8", any)).toBe(-128);
    expect(metadata.wholeNumber("u32", any)).toBe(2 ** 32 - 1);
    expect(metadata.wholeNumber("smallU64", any)).toBe(2 ** 53 - 1);
    expect(metadata.wholeNumber("smallI64", any)).toBe(-5);
    expect(metadata.float("f32")).toBe(1e-5);
    expect(metadata.float("f64")).toBe(1e-5);
    expect(metadata.flag("bool")).toBe(false);
    expect(metadata.texts("texts")).toEqual(["", "a", "\u0000", "日本"]);
    expect(metadata.floats("f32s")).toEqual(Float32Array.of(0.5, -1));
    expect(metadata.wholeNumbers("i32s", any)).toEqual([8, 8, 4]);
    expect(metadata.wholeNumbers("i64s", any)).toEqual([-1, 4]);
    expect(metadata.wholeNumbers("none", any)).toEqual([]);
    expect(metadata.wholeNumbers("u16", any, { orScalar: true })).toEqual([65_535]);
    expect(metadata.flags("bools")).toEqual([true, false, true]);
    expect(metadata.flags("bool", { orScalar: true })).toEqual([false]);
  });

  it("take 0 and 1 of any integer for false and true", () => {
    const flags = new GgufMetadata(
      "m.gguf",
      new Map([
        ["a", ggufValue.u8(1)],
        ["b", ggufValue.u64(0)],
        ["c", { type: "array", elementType: "u8", values: Uint8Array.of(0, 1) }],
      ]),
    );
    expect([flags.flag("a"), flags.flag("b"), flags.flags("c")]).toEqual([true, false, [false, true]]);
  });

  it("give null where the key is absent", () => {
    const results = [
      ...[metadata.text("x"), metadata.wholeNumber("x", any), metadata.float("x"), metadata.flag("x")],
      ...[metadata.texts("x"), metadata.floats("x"), metadata.wholeNumbers("x", any), metadata.flags("x")],
      ...[metadata.get("x"), metadata.get("toString"), metadata.text("__proto__")],
    ];
    expect(results).toEqual(results.map(() => null));
  });

  const few = { from: 1, to: 4096 };
  const cases: readonly (readonly [() => unknown, string])[] = [
    [() => metadata.text("u8"), 'm.gguf: key "u8" is 255 (u8), but must be text.'],
    [() => metadata.text("texts"), 'm.gguf: key "texts" is a list of 4 string, but must be text.'],
    [
      () => metadata.wholeNumber("u32", few),
      'm.gguf: key "u32" is 4294967295 (u32), but must be a whole number from 1 to 4096.',
    ],
    [
      () => metadata.wholeNumber("i8", few),
      'm.gguf: key "i8" is -128 (i8), but must be a whole number from 1 to 4096.',
    ],
    [
      () => metadata.wholeNumber("u64", any),
      'key "u64" is 18446744073709551615 (u64), but must be a whole number from',
    ],
    [() => metadata.wholeNumber("i64", any), 'key "i64" is -9223372036854775808 (i64), but must be'],
    [
      () => metadata.wholeNumber("f32", any),
      'key "f32" is 0.000009999999747378752 (f32), but must be a whole number',
    ],
    [() => metadata.wholeNumber("bool", any), 'key "bool" is false (bool), but must be a whole number'],
    [
      () => metadata.wholeNumber("string", any),
      'key "string" is the text "▁Ünïcode 🙂", but must be a whole number',
    ],
    [() => metadata.wholeNumber("u32s", any), 'key "u32s" is a list of 2 u32, but must be a whole number'],
    [() => metadata.float("u8"), 'key "u8" is 255 (u8), but must be a finite number of f32 or f64.'],
    [() => metadata.float("infinite"), 'key "infinite" is Infinity (f32), but must be a finite number'],
    [() => metadata.float("notANumber"), 'key "notANumber" is NaN (f64), but must be a finite number'],
    [() => metadata.flag("u8"), 'key "u8" is 255 (u8), but must be true or false, or 1 or 0.'],
    [() => metadata.flag("f32"), "but must be true or false, or 1 or 0."],
    [() => metadata.texts("u8s"), 'key "u8s" is a list of 3 u8, but must be a list of texts.'],
    [() => metadata.texts("string"), "but must be a list of texts."],
    [() => metadata.floats("f64s"), 'key "f64s" is a list of 1 f64, but must be a list of f32.'],
    [() => metadata.floats("texts"), 'key "texts" is a list of 4 string, but must be a list of f32.'],
    [
      () => metadata.floats("infinites"),
      'm.gguf: element 1 of key "infinites" is -Infinity, but must be a finite number.',
    ],
    [() => metadata.wholeNumbers("i32s", few), "passes"],
    [
      () => metadata.wholeNumbers("i32s", { from: 5, to: 9 }),
      'm.gguf: element 2 of key "i32s" is 4, but must be a whole number from 5 to 9.',
    ],
    [
      () => metadata.wholeNumbers("u64s", any),
      'element 0 of key "u64s" is 18446744073709551615, but must be',
    ],
    [
      () => metadata.wholeNumbers("u16", any),
      'key "u16" is 65535 (u16), but must be a list of whole numbers.',
    ],
    [
      () => metadata.wholeNumbers("bools", any),
      'key "bools" is a list of 3 bool, but must be a list of whole numbers.',
    ],
    [() => metadata.wholeNumbers("texts", any), "but must be a list of whole numbers."],
    [() => metadata.wholeNumbers("u8", few, { orScalar: true }), "passes"],
    [
      () => metadata.wholeNumbers("f32", few, { orScalar: true }),
      "but must be a whole number from 1 to 4096.",
    ],
    [() => metadata.flags("u8s"), 'element 2 of key "u8s" is 255, but must be a whole number from 0 to 1.'],
    [() => metadata.flags("bool"), "but must be a list of whole numbers."],
  ];

  it.each(cases)("refuse, naming file, key, what was found and what was expected: %s %s", (get, message) => {
    let found = "passes";
    try {
      get();
    } catch (error) {
      if (!(error instanceof LastrowError)) throw error;
      expect(error.code).toBe("model_file_invalid");
      found = error.message;
    }
    expect(found).toContain(message);
  });

  it("say that a key is absent where others need it", () => {
    expect(metadata.invalid("llama.block_count", "a whole number").message).toBe(
      'm.gguf has no "llama.block_count", but must have a whole number.',
    );
  });
});

describe("shortestDecimal", () => {
  it.each([
    1e-5,
    1e-6,
    1e-12,
    0.1,
    1 / 3,
    10_000,
    500_000,
    1_000_000,
    8,
    0.25,
    1.1,
    50,
    30,
    0,
    -0.1,
    1e38,
    1e-45,
  ])("gives back %d", (value) => {
    const found = shortestDecimal(Math.fround(value));
    expect(Math.fround(found)).toBe(Math.fround(value));
    if (String(value).length < 9) expect(found).toBe(value);
  });

  it("leaves what is no number, and the sign of zero", () => {
    expect(shortestDecimal(Number.NaN)).toBeNaN();
    expect(shortestDecimal(-Infinity)).toBe(-Infinity);
    expect(shortestDecimal(-0)).toBe(-0);
  });

  /** Significant digits of a number as JavaScript writes it. */
  const digitsOf = (value: number) =>
    value
      .toExponential()
      .split("e")[0]!
      .replace(/\D/g, "")
      .replace(/^0+(?=\d)/, "").length;

  it("is the one of fewest digits, of every power of two, and of any f32", () => {
    const bits = new DataView(new ArrayBuffer(4));
    const f32Of = (word: number) => {
      bits.setUint32(0, word);
      return bits.getFloat32(0);
    };
    const expectShortest = (value: number) => {
      const found = shortestDecimal(value);
      expect(Math.fround(found)).toBe(value);
      const digits = digitsOf(found);
      if (digits === 1) return;
      // All decimals of one digit less that are near: none rounds to it.
      const [mantissa, exponent] = value.toExponential(digits - 2).split("e");
      const whole = Number(mantissa!.replace(".", ""));
      for (const near of [whole - 1, whole, whole + 1]) {
        expect(Math.fround(Number(`${near}e${Number(exponent) - digits + 2}`))).not.toBe(value);
      }
    };
    for (let exponent = 1; exponent < 255; exponent++) expectShortest(f32Of(exponent << 23));
    for (let bit = 0; bit < 23; bit++) expectShortest(f32Of(1 << bit));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 0x7f7fffff }), (word) => expectShortest(f32Of(word))),
      { numRuns: 300 },
    );
  });
});

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memoryFile } from "../../test/memory-files.js";
import { safetensorsBytes, zeroTensorsFile } from "../../test/safetensors-bytes.js";
import { LastrowError } from "../errors.js";
import { MAX_HEADER_BYTES, readSafetensorsHeader, type SafetensorsHeader } from "./safetensors.js";

async function messageOf(bytes: Uint8Array): Promise<string> {
  try {
    await readSafetensorsHeader(memoryFile("m.safetensors", bytes));
  } catch (error) {
    expect(error).toBeInstanceOf(LastrowError);
    expect((error as LastrowError).code).toBe("model_file_invalid");
    expect((error as LastrowError).message).toContain("m.safetensors");
    return (error as LastrowError).message;
  }
  throw new Error("accepted");
}

/** The message for one tensor called `t` with `dataBytes` bytes of data behind it. */
function messageOfTensor(tensor: unknown, dataBytes: number): Promise<string> {
  return messageOf(safetensorsBytes({ t: tensor }, dataBytes));
}

const f32 = (shape: unknown, offsets: unknown) => ({ dtype: "F32", shape, data_offsets: offsets });

/** What a returned header promises. */
function expectSound(header: SafetensorsHeader, size: number): void {
  let covered = header.dataStart;
  for (const [name, entry] of header.tensors) {
    expect(entry.name).toBe(name);
    expect(entry.begin).toBe(covered);
    expect(entry.end).toBeGreaterThanOrEqual(entry.begin);
    for (const dimension of entry.shape) expect(dimension).toBeGreaterThanOrEqual(0);
    covered = entry.end;
  }
  expect(covered).toBe(size);
}

describe("readSafetensorsHeader", () => {
  it("reads a file that transformers wrote", async () => {
    const bytes = readFileSync(new URL("../../test/fixtures/tiny/model.safetensors", import.meta.url));
    const file = memoryFile("model.safetensors", bytes);
    const header = await readSafetensorsHeader(file);
    expectSound(header, bytes.length);
    expect([...header.metadata]).toEqual([["format", "pt"]]);
    expect(header.tensors.size).toBe(2 * 12 + 4);
    expect(header.tensors.get("transformer.wte.weight")).toMatchObject({ dtype: "F32", shape: [307, 64] });
    expect(file.bytesRead).toBe(header.dataStart);
    expect(file.closed).toBe(false);
  });

  it("takes scalars, empty tensors, every dtype, unaligned starts, padding, and any order in the header", async () => {
    const header = {
      last: { dtype: "F64", shape: [], data_offsets: [6, 14] },
      __metadata__: { format: "pt", note: "" },
      first: { dtype: "BOOL", shape: [3], data_offsets: [0, 3] },
      six: { dtype: "F6_E2M3", shape: [4], data_offsets: [3, 6] },
      empty: { dtype: "F32", shape: [3, 0, 2], data_offsets: [3, 3] },
    };
    const bytes = safetensorsBytes(`${JSON.stringify(header)}     `, 14);
    const result = await readSafetensorsHeader(memoryFile("m.safetensors", bytes));
    expectSound(result, bytes.length);
    expect([...result.tensors.keys()]).toEqual(["first", "empty", "six", "last"]);
    expect(result.tensors.get("last")).toEqual({
      name: "last",
      dtype: "F64",
      shape: [],
      begin: result.dataStart + 6,
      end: result.dataStart + 14,
    });
    expect(result.metadata.get("format")).toBe("pt");
  });

  it("takes a file without tensors", async () => {
    const header = await readSafetensorsHeader(memoryFile("m.safetensors", safetensorsBytes({}, 0)));
    expect(header.tensors.size).toBe(0);
  });

  it.each([
    ["F4", 8, 4],
    ["F6_E3M2", 8, 6],
    ["BOOL", 2, 2],
    ["U8", 2, 2],
    ["I8", 2, 2],
    ["F8_E5M2", 2, 2],
    ["F8_E4M3", 2, 2],
    ["F8_E8M0", 2, 2],
    ["F8_E4M3FNUZ", 2, 2],
    ["F8_E5M2FNUZ", 2, 2],
    ["U16", 2, 4],
    ["I16", 2, 4],
    ["F16", 2, 4],
    ["BF16", 2, 4],
    ["U32", 2, 8],
    ["I32", 2, 8],
    ["F32", 2, 8],
    ["U64", 2, 16],
    ["I64", 2, 16],
    ["F64", 2, 16],
    ["C64", 2, 16],
  ])("knows %s: %i elements take %i bytes", async (dtype, elements, bytes) => {
    const sound = zeroTensorsFile([{ name: "t", dtype, shape: [elements], bytes }]);
    expectSound(await readSafetensorsHeader(memoryFile("m.safetensors", sound)), sound.length);
    const wrong = zeroTensorsFile([{ name: "t", dtype, shape: [elements], bytes: bytes + 1 }]);
    expect(await messageOf(wrong)).toContain(`tensor "t" takes ${bytes + 1} bytes`);
  });

  it("refuses files that are too short for their header", async () => {
    expect(await messageOf(new Uint8Array(0))).toContain("has 0 bytes: too short");
    expect(await messageOf(new Uint8Array(7))).toContain("has 7 bytes: too short");
    expect(await messageOf(new Uint8Array(8))).toContain("does not begin with {");
    expect(await messageOf(safetensorsBytes({}, 0, 3n))).toContain(
      "states a header of 3 bytes, but has 10 bytes in all",
    );
  });

  it.each([2n ** 64n - 1n, 2n ** 63n, 2n ** 53n, 2n ** 53n - 1n, 2n ** 32n, 100_000_000n])(
    "refuses a stated length of %s in a small file before reading or reserving it",
    async (length) => {
      const file = memoryFile("m.safetensors", safetensorsBytes({}, 0, length));
      await expect(readSafetensorsHeader(file)).rejects.toMatchObject({
        code: "model_file_invalid",
        message: expect.stringContaining(`states a header of ${length} bytes`),
      });
      expect(file.bytesRead).toBe(8);
    },
  );

  it("refuses a header over the limit before reading it", async () => {
    const length = MAX_HEADER_BYTES + 1;
    const file = memoryFile("m.safetensors", safetensorsBytes("{}", length - 2, BigInt(length)));
    await expect(readSafetensorsHeader(file)).rejects.toMatchObject({
      code: "model_file_invalid",
      message: `m.safetensors states a header of ${length} bytes; at most ${MAX_HEADER_BYTES} are read.`,
    });
    expect(file.bytesRead).toBe(8);
  });

  it("refuses headers that are not strict JSON objects", async () => {
    expect(await messageOf(safetensorsBytes(" {}", 0))).toContain("does not begin with {");
    expect(await messageOf(safetensorsBytes("[]", 0))).toContain("does not begin with {");
    expect(await messageOf(safetensorsBytes('{"a":', 0))).toContain("not valid JSON");
    expect(await messageOf(safetensorsBytes("{}{}", 0))).toContain("not valid JSON");
    expect(await messageOf(safetensorsBytes('{"__proto__":{}}', 0))).toContain('forbidden key "__proto__"');
    const twice = '"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}';
    expect(await messageOf(safetensorsBytes(`{${twice},${twice}}`, 0))).toContain('the key "a" twice');
    const notUtf8 = safetensorsBytes('{"a":"x"}', 0);
    notUtf8[14] = 0xff;
    expect(await messageOf(notUtf8)).toContain("The header of m.safetensors is not valid UTF-8 text");
  });

  it("refuses metadata that is not a map from text to text", async () => {
    expect(await messageOf(safetensorsBytes({ __metadata__: [] }, 0))).toContain("__metadata__ is []");
    expect(await messageOf(safetensorsBytes({ __metadata__: { a: 1 } }, 0))).toContain('has 1 at "a"');
  });

  it("takes null as metadata: there are none", async () => {
    const t = f32([1], [0, 4]);
    const header = await readSafetensorsHeader(
      memoryFile("m", safetensorsBytes({ __metadata__: null, t }, 4)),
    );
    expect(header.metadata.size).toBe(0);
    expect([...header.tensors.keys()]).toEqual(["t"]);
  });

  it("refuses a tensor that is no object or whose dtype is unknown", async () => {
    expect(await messageOfTensor(null, 0)).toContain('tensor "t" is null');
    expect(await messageOfTensor([1], 0)).toContain('tensor "t" is [1]');
    expect(await messageOfTensor({ shape: [0], data_offsets: [0, 0] }, 0)).toContain("dtype undefined");
    expect(await messageOfTensor({ ...f32([0], [0, 0]), dtype: "f32" }, 0)).toContain('dtype "f32"');
    expect(await messageOfTensor({ ...f32([0], [0, 0]), dtype: 32 }, 0)).toContain("dtype 32");
    expect(await messageOfTensor({ ...f32([0], [0, 0]), dtype: "toString" }, 0)).toContain(
      'dtype "toString"',
    );
  });

  it.each([[-1], [1.5], [1e308], [2 ** 53], ["4"], [null], [true], [[1]]])(
    "refuses %j in a shape and in the offsets",
    async (value) => {
      expect(await messageOfTensor(f32([value], [0, 4]), 4)).toMatch(/tensor "t" has shape .*whole numbers/);
      expect(await messageOfTensor(f32([1], [value, 4]), 4)).toMatch(/tensor "t" has data_offsets .*whole/);
      expect(await messageOfTensor(f32([1], [0, value]), 4)).toMatch(/tensor "t" has data_offsets .*whole/);
    },
  );

  it("refuses numbers that JSON can write and JavaScript cannot hold", async () => {
    const tensor = (shape: string, end: string) => {
      return `{"t":{"dtype":"F32","shape":[${shape}],"data_offsets":[0,${end}]}}`;
    };
    expect(await messageOf(safetensorsBytes(tensor("1e999", "4"), 4))).toContain("has shape [Infinity]");
    expect(await messageOf(safetensorsBytes(tensor("1", "18446744073709551615"), 4))).toContain(
      "data_offsets",
    );
    expect(await messageOf(safetensorsBytes(tensor("-0", "0"), 0))).toContain("has shape [-0]");
  });

  it("refuses a shape or offsets that are no lists of the right length", async () => {
    expect(await messageOfTensor(f32("1", [0, 4]), 4)).toContain('has shape "1"');
    expect(await messageOfTensor(f32({ length: 1 }, [0, 4]), 4)).toContain("has shape an object");
    expect(await messageOfTensor(f32([1], [0, 4, 8]), 4)).toContain("has data_offsets [0, 4, 8]");
    expect(await messageOfTensor(f32([1], [0]), 4)).toContain("has data_offsets [0]");
    expect(await messageOfTensor(f32([1], undefined), 4)).toContain("has data_offsets undefined");
  });

  it("refuses sizes that overflow or do not fit dtype and shape", async () => {
    expect(await messageOfTensor(f32([2 ** 27, 2 ** 27], [0, 4]), 4)).toContain("its size overflows");
    expect(await messageOfTensor(f32([2 ** 52, 2 ** 52, 2 ** 52, 0], [0, 0]), 0)).toContain(
      "its size overflows",
    );
    expect(await messageOfTensor(f32([2, 3], [0, 20]), 20)).toContain(
      'tensor "t" takes 20 bytes, but its dtype F32 and shape [2, 3] ask for 24',
    );
    expect(await messageOfTensor({ dtype: "F4", shape: [3], data_offsets: [0, 2] }, 2)).toContain(
      "ask for 1.5",
    );
  });

  it("refuses offsets out of order or out of the file", async () => {
    expect(await messageOfTensor(f32([0], [4, 0]), 4)).toContain(
      'tensor "t" begins at byte 4 of the data and ends',
    );
    expect(await messageOfTensor(f32([2], [0, 8]), 7)).toContain(
      'tensor "t" ends at byte 8 of the data, but the file has only 7: it is truncated',
    );
  });

  it("refuses overlaps, holes and bytes that belong to no tensor", async () => {
    const two = (second: [number, number], dataBytes: number) =>
      messageOf(safetensorsBytes({ a: f32([1], [0, 4]), b: f32([1], second) }, dataBytes));
    expect(await two([0, 4], 4)).toContain('tensor "b" overlaps');
    expect(await two([2, 6], 6)).toContain('tensor "b" overlaps');
    expect(await two([5, 9], 9)).toContain('tensor "b" leaves a hole');
    expect(await two([4, 8], 9)).toContain("its last tensor ends at byte");
    expect(await messageOfTensor(f32([1], [1, 5]), 5)).toContain('tensor "t" leaves a hole');
    expect(await messageOf(safetensorsBytes({}, 1))).toContain("its last tensor ends at byte");
  });

  it("is safe to print the names that a file has", async () => {
    const message = await messageOf(safetensorsBytes({ ["\x1b[2J".repeat(100_000)]: null }, 0));
    expect(message.length).toBeLessThan(1000);
    expect(message).not.toContain("\x1b");
  });
});

describe("any file at all", () => {
  /** Sound, or refused with our error; memory files throw another one when they are read out of bounds. */
  async function check(bytes: Uint8Array): Promise<boolean> {
    try {
      expectSound(await readSafetensorsHeader(memoryFile("m.safetensors", bytes)), bytes.length);
      return true;
    } catch (error) {
      if (!(error instanceof LastrowError)) throw error;
      expect(error.code).toBe("model_file_invalid");
      return false;
    }
  }

  const hostileNumber = fc.oneof(
    fc.nat(40),
    fc.constantFrom<unknown>(-1, -0.5, 0.5, 1e308, 2 ** 53, 2 ** 53 - 1, 2 ** 32, 2 ** 31, "1", null, [], {}),
  );

  it("random bytes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => void (await check(bytes))),
    );
  });

  it("random bytes behind a length that fits", async () => {
    const bytes = fc.uint8Array({ maxLength: 200 }).map((body) => {
      const file = new Uint8Array(8 + body.length);
      file[0] = body.length;
      file.set(body, 8);
      return file;
    });
    await fc.assert(fc.asyncProperty(bytes, async (file) => void (await check(file))));
  });

  it("sound files with a few bytes changed, removed or added", async () => {
    const sound = zeroTensorsFile([
      { name: "a", dtype: "F32", shape: [2, 3], bytes: 24 },
      { name: "b", dtype: "BF16", shape: [5], bytes: 10 },
      { name: "c", dtype: "U8", shape: [], bytes: 1 },
    ]);
    expect(await check(sound)).toBe(true);
    const edit = fc.record({
      at: fc.nat(sound.length),
      removed: fc.nat(2),
      added: fc.oneof(
        fc.uint8Array({ maxLength: 2 }),
        fc.constantFrom(...'0123456789[]{},:"-.e').map((char) => new TextEncoder().encode(char)),
      ),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 3 }), async (edits) => {
        let bytes = [...sound];
        for (const { at, removed, added } of edits) {
          bytes = [...bytes.slice(0, at), ...added, ...bytes.slice(at + removed)];
        }
        await check(Uint8Array.from(bytes));
      }),
      { numRuns: 1000 },
    );
  });

  it("headers with hostile numbers and kinds", async () => {
    const tensor = fc.record(
      {
        dtype: fc.constantFrom<unknown>("F32", "F16", "F4", "BOOL", "F64", "X", 1, null),
        shape: fc.oneof(fc.array(hostileNumber, { maxLength: 4 }), hostileNumber),
        data_offsets: fc.oneof(
          fc.tuple(hostileNumber, hostileNumber),
          fc.array(hostileNumber),
          hostileNumber,
        ),
      },
      { requiredKeys: [] },
    );
    const header = fc.dictionary(fc.oneof(fc.constantFrom("a", "__metadata__", ""), fc.string()), tensor);
    await fc.assert(
      fc.asyncProperty(header, fc.nat(60), async (entries, dataBytes) => {
        await check(safetensorsBytes(entries, dataBytes));
      }),
      { numRuns: 1000 },
    );
  });

  it("headers that are nearly right", async () => {
    // One dimension, consecutive offsets, and at most one of the numbers off by one: both outcomes must occur.
    const outcomes = new Set<boolean>();
    const sizes = fc.array(fc.nat(5), { minLength: 1, maxLength: 4 });
    const offBy = fc.record({ tensor: fc.nat(3), field: fc.nat(2), by: fc.integer({ min: -1, max: 1 }) });
    await fc.assert(
      fc.asyncProperty(sizes, offBy, async (lengths, { tensor, field, by }) => {
        let offset = 0;
        const numbers = lengths.map((length) => {
          const begin = offset;
          offset += 4 * length;
          return [length, begin, offset] as [number, number, number];
        });
        const target = numbers[tensor];
        if (target !== undefined) target[field]! += by;
        const header = Object.fromEntries(
          numbers.map(([length, begin, end], i) => [`t${i}`, f32([length], [begin, end])]),
        );
        const accepted = await check(safetensorsBytes(header, offset));
        outcomes.add(accepted);
        expect(accepted).toBe(target === undefined || by === 0);
      }),
      { numRuns: 500 },
    );
    expect(outcomes.size).toBe(2);
  });
});

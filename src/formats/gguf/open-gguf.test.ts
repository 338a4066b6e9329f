import { describe, expect, it } from "vitest";
import { ggufShards, ggufValue, type NewMetadata, writeGguf } from "../../../scripts/gguf-writer.js";
import { memoryFiles } from "../../../test/memory-files.js";
import { LastrowError } from "../../errors.js";
import { openGguf } from "./open-gguf.js";

const data = new Uint8Array(64).fill(7);
const model = {
  metadata: { "general.architecture": ggufValue.text("llama") },
  tensors: ["a", "b", "c"].map((name) => ({ name, dtype: "F32" as const, shape: [16], data })),
};
const shards = ggufShards(model, [2, 0, 1]).map(writeGguf);
const names = ["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"];
const folder = (contents: readonly Uint8Array[] = shards) =>
  memoryFiles("m", Object.fromEntries(names.map((name, i) => [name, contents[i]!])));

describe("openGguf", () => {
  it("opens a file that stands alone, and leaves it open for its data", async () => {
    const files = memoryFiles("m", { "m.gguf": writeGguf(model) });
    const gguf = await openGguf(files, ["m.gguf"]);
    expect([...gguf.tensors.keys()]).toEqual(["a", "b", "c"]);
    expect(files.openFiles).toEqual(["m.gguf"]);
    await gguf.close();
    expect(files.openFiles).toEqual([]);
  });

  it("opens shards, with the metadata of the first, and reads their data", async () => {
    const files = folder();
    const gguf = await openGguf(files, names);
    expect(gguf.metadata.text("general.architecture")).toBe("llama");
    expect([...gguf.tensors].map(([name, { file }]) => [name, file.name])).toEqual([
      ["a", names[0]],
      ["b", names[0]],
      ["c", names[2]],
    ]);
    expect(files.openFiles).toEqual([]);
    const { entry, file } = gguf.tensors.get("c")!;
    const bytes = new Uint8Array(entry.end - entry.begin);
    await file.read(entry.begin, bytes);
    expect(bytes).toEqual(data);
    await gguf.close();
    expect(files.openFiles).toEqual([]);
  });
});

describe("shards that do not belong together", () => {
  type Files = Record<string, Uint8Array | null>;
  const split = (no: number, count: number, tensors: number, more: NewMetadata = {}) => ({
    ...more,
    "split.no": ggufValue.u16(no),
    "split.count": ggufValue.u16(count),
    "split.tensors.count": ggufValue.i32(tensors),
  });
  const shard = (metadata: NewMetadata, ...names: readonly string[]) =>
    writeGguf({ metadata, tensors: names.map((name) => ({ ...model.tensors[0]!, name })) });

  const cases: readonly (readonly [
    name: string,
    files: Files,
    code: string,
    message: string,
    given?: string[],
  ])[] = [
    [
      "the second is not given",
      {},
      "model_not_found",
      `${names[0]} is one of 3 files of a model, of which ${names[1]} is missing.`,
      [names[0]!, names[2]!],
    ],
    [
      "only the first is given",
      {},
      "model_not_found",
      `${names[0]} is one of 3 files of a model, of which ${names[1]} is missing.`,
      [names[0]!],
    ],
    [
      "only the second is given",
      {},
      "model_not_found",
      `${names[1]} is one of 3 files of a model, of which ${names[0]} is missing.`,
      [names[1]!],
    ],
    ["the second is not there", { [names[1]!]: null }, "model_not_found", `m has no ${names[1]}.`],
    [
      "their names tell nothing",
      { "m.gguf": shards[0]! },
      "model_file_invalid",
      "m.gguf says that its model has 3 files, but 1 were given.",
      ["m.gguf"],
    ],
    [
      "one says that it stands alone",
      { [names[0]!]: shard({}, "a") },
      "model_file_invalid",
      `${names[0]} says that its model has one file, but 3 were given.`,
    ],
    [
      "another order",
      {},
      "model_file_invalid",
      `${names[2]}: key "split.no" is 2 (u16), but must be 0.`,
      [names[2]!, names[1]!, names[0]!],
    ],
    [
      "one is another model's",
      { [names[1]!]: shard(split(1, 4, 3)) },
      "model_file_invalid",
      `${names[1]}: key "split.count" is 4 (u16), but must be 3.`,
    ],
    [
      "one says nothing",
      { [names[1]!]: shard({}) },
      "model_file_invalid",
      `${names[1]} has no "split.no", but must have 1.`,
    ],
    [
      "none says how many tensors there are",
      Object.fromEntries(
        names.map((name, i) => [
          name,
          writeGguf({
            metadata: { "split.no": ggufValue.u16(i), "split.count": ggufValue.u16(3) },
            tensors: [],
          }),
        ]),
      ),
      "model_file_invalid",
      `${names[0]} has no "split.tensors.count", but must have a whole number.`,
    ],
    [
      "one has another number of tensors in mind",
      { [names[2]!]: shard(split(2, 3, 4), "c") },
      "model_file_invalid",
      `${names[2]}: key "split.tensors.count" is 4 (i32), but must be 3.`,
    ],
    [
      "a tensor is missing",
      { [names[2]!]: shard(split(2, 3, 3)) },
      "model_file_invalid",
      `${names[0]} says that its 3 files have 3 tensors, but 2 were found.`,
    ],
    [
      "a tensor too many",
      { [names[2]!]: shard(split(2, 3, 3), "c", "d") },
      "model_file_invalid",
      "have 3 tensors, but 4 were found.",
    ],
    [
      "a tensor twice",
      { [names[2]!]: shard(split(2, 3, 3), "a") },
      "model_file_invalid",
      `Tensor "a" comes twice: in ${names[0]} and in ${names[2]}.`,
    ],
    [
      "2^16 shards",
      { [names[0]!]: shard({ "split.count": ggufValue.u32(65_536) }) },
      "model_file_invalid",
      `key "split.count" is 65536 (u32), but must be a whole number from 1 to 65535.`,
    ],
    [
      "a shard of no shards",
      { [names[0]!]: shard(split(0, 0, 3)) },
      "model_file_invalid",
      `key "split.count" is 0 (u16), but must be`,
    ],
    [
      "the number of tensors is below none",
      { [names[0]!]: shard(split(0, 3, -1)) },
      "model_file_invalid",
      `key "split.tensors.count" is -1 (i32), but must be`,
    ],
    [
      "more tensors than are read",
      { [names[0]!]: shard(split(0, 3, 20_001)) },
      "model_file_invalid",
      `key "split.tensors.count" is 20001 (i32), but must be a whole number from 0 to 20000.`,
    ],
    [
      "the last is no GGUF file",
      { [names[2]!]: new Uint8Array(100) },
      "model_file_invalid",
      `${names[2]} does not begin with "GGUF"`,
    ],
  ];

  const named = cases.map(([name, ...rest]) => [name, rest] as const);
  it.each(named)("%s", async (_, [changes, code, message, given = names]) => {
    const all: Files = { ...Object.fromEntries(names.map((name, i) => [name, shards[i]!])), ...changes };
    const there = Object.entries(all).filter((entry): entry is [string, Uint8Array] => entry[1] !== null);
    const files = memoryFiles("m", Object.fromEntries(there));
    const error: unknown = await openGguf(files, given).catch((refused: unknown) => refused);
    expect(error).toBeInstanceOf(LastrowError);
    expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
    expect(files.openFiles).toEqual([]);
  });

  it("are not opened behind the one that has too many tensors", async () => {
    const opened: string[] = [];
    const files = folder([shard(split(0, 3, 1), "a", "b"), shards[1]!, shards[2]!]);
    const open = (name: string) => {
      opened.push(name);
      return files.open(name);
    };
    await expect(openGguf({ ...files, open }, names)).rejects.toThrow(
      "3 files have 1 tensors, but 2 were found.",
    );
    expect(opened).toEqual([names[0]]);
  });

  it("are opened once each for their headers", async () => {
    const opened: string[] = [];
    const files = folder();
    const open = (name: string) => {
      opened.push(name);
      return files.open(name);
    };
    const counted = { ...files, open };
    await (await openGguf(counted, names)).close();
    expect(opened).toEqual(names);
  });
});

import { describe, expect, it } from "vitest";
import { memoryFiles } from "../../test/memory-files.js";
import { safetensorsBytes, zeroTensorsFile } from "../../test/safetensors-bytes.js";
import { LastrowError } from "../errors.js";
import { openCheckpoint } from "./checkpoint.js";

/** A file of one-byte tensors with these names; byte i of the data is zero. */
function shard(...names: string[]): Uint8Array {
  return zeroTensorsFile(names.map((name) => ({ name, dtype: "U8", shape: [1], bytes: 1 })));
}

function index(weightMap: unknown): string {
  return JSON.stringify({ metadata: { total_size: 1 }, weight_map: weightMap });
}

/** Opens, expects a refusal that leaves no file open, and returns `code: message`. */
async function refusal(contents: Record<string, Uint8Array | string>): Promise<string> {
  const files = memoryFiles("my-model", contents);
  try {
    await openCheckpoint(files);
  } catch (error) {
    expect(error).toBeInstanceOf(LastrowError);
    expect(files.openFiles).toEqual([]);
    return `${(error as LastrowError).code}: ${(error as LastrowError).message}`;
  }
  throw new Error("accepted");
}

const INDEX = "model.safetensors.index.json";

describe("openCheckpoint", () => {
  it("opens a single file, and prefers it to an index", async () => {
    const files = memoryFiles("m", { "model.safetensors": shard("b", "a"), [INDEX]: "nonsense" });
    const checkpoint = await openCheckpoint(files);
    expect([...checkpoint.tensors.keys()]).toEqual(["b", "a"]);
    expect(checkpoint.files.map((file) => file.name)).toEqual(["model.safetensors"]);
    expect(files.openFiles).toEqual(["model.safetensors"]);
    await checkpoint.close();
    await checkpoint.close();
    expect(files.openFiles).toEqual([]);
  });

  it("opens shards, whose data can be read", async () => {
    const two = shard("y", "z");
    two[two.length - 1] = 42;
    const files = memoryFiles("m", {
      [INDEX]: index({ z: "m-2.safetensors", x: "m-1.safetensors", y: "m-2.safetensors" }),
      "m-1.safetensors": shard("x"),
      "m-2.safetensors": two,
    });
    const checkpoint = await openCheckpoint(files);
    expect([...checkpoint.tensors.keys()]).toEqual(["x", "y", "z"]);
    expect(files.openFiles).toEqual([]);
    const { entry, file } = checkpoint.tensors.get("z")!;
    const byte = new Uint8Array(1);
    await file.read(entry.begin, byte);
    expect(byte[0]).toBe(42);
    expect(file.name).toBe("m-2.safetensors");
    expect(files.openFiles).toEqual(["m-2.safetensors"]);
    await checkpoint.close();
    expect(files.openFiles).toEqual([]);
  });

  it("notices a shard that changes between its header and its data", async () => {
    const contents: Record<string, Uint8Array | string> = {
      [INDEX]: index({ x: "m-1.safetensors" }),
      "m-1.safetensors": shard("x"),
    };
    const checkpoint = await openCheckpoint(memoryFiles("m", contents));
    contents["m-1.safetensors"] = shard("x", "y");
    const { file, entry } = checkpoint.tensors.get("x")!;
    await expect(file.read(entry.begin, new Uint8Array(1))).rejects.toMatchObject({
      code: "model_file_invalid",
      message: "m-1.safetensors was changed or removed while it was read.",
    });
    await checkpoint.close();
  });

  it("says what it expected when there are no weights", async () => {
    expect(await refusal({ "config.json": "{}" })).toBe(
      "model_not_found: my-model has no weights: expected model.safetensors, or shards with " +
        "model.safetensors.index.json (other formats, such as PyTorch's pytorch_model.bin, are not read).",
    );
  });

  it("names a missing shard", async () => {
    expect(await refusal({ [INDEX]: index({ x: "m-1.safetensors" }) })).toBe(
      "model_not_found: my-model has no m-1.safetensors, which model.safetensors.index.json names.",
    );
  });

  it.each([
    "../m.safetensors",
    "a/m.safetensors",
    "a\\m.safetensors",
    "/m.safetensors",
    "C:m.safetensors",
    "..",
    ".safetensors",
    "m.safetensors\u0000",
    "m.safetensors\n",
    "m.bin",
    "",
    `${"m".repeat(244)}.safetensors`,
    1,
    null,
    ["m.safetensors"],
  ])("refuses the shard name %j", async (name) => {
    const message = await refusal({ [INDEX]: index({ x: name }), [String(name)]: shard("x") });
    expect(message).toMatch(/^model_file_invalid: model\.safetensors\.index\.json: tensor "x" is mapped to /);
    expect(message).toContain("plain file name");
  });

  it("refuses an index that maps nothing", async () => {
    for (const weightMap of [undefined, null, [], "x", 1]) {
      expect(await refusal({ [INDEX]: index(weightMap) })).toContain(
        "but must map tensor names to shard names",
      );
    }
    expect(await refusal({ [INDEX]: index({}) })).toContain("weight_map is empty");
    expect(await refusal({ [INDEX]: "[]" })).toContain("must hold a JSON object");
    expect(await refusal({ [INDEX]: '{"weight_map":{"x":"m.safetensors","x":"m.safetensors"}}' })).toContain(
      'has the key "x" twice',
    );
    expect(await refusal({ [INDEX]: " ".repeat(16 * 1024 * 1024 + 1) })).toContain(
      "at most 16777216 are read",
    );
  });

  it("refuses an index and shards that disagree", async () => {
    const one = { "m-1.safetensors": shard("x") };
    expect(await refusal({ ...one, [INDEX]: index({ x: "m-1.safetensors", y: "m-1.safetensors" }) })).toBe(
      'model_file_invalid: model.safetensors.index.json places tensor "y" in m-1.safetensors, but it is not there.',
    );
    const both = { ...one, "m-2.safetensors": shard("y", "w") };
    expect(await refusal({ ...both, [INDEX]: index({ x: "m-1.safetensors", y: "m-2.safetensors" }) })).toBe(
      'model_file_invalid: m-2.safetensors holds tensor "w", but model.safetensors.index.json does not place it there.',
    );
    const swapped = { x: "m-2.safetensors", y: "m-1.safetensors", w: "m-1.safetensors" };
    expect(await refusal({ ...both, [INDEX]: index(swapped) })).toContain('m-1.safetensors holds tensor "x"');
    const otherName = index({ "transformer.x": "m-1.safetensors", x: "m-1.safetensors" });
    expect(await refusal({ ...one, [INDEX]: otherName })).toContain('places tensor "transformer.x"');
  });

  it("refuses a tensor that comes twice", async () => {
    const contents = {
      [INDEX]: index({ x: "m-1.safetensors", y: "m-2.safetensors" }),
      "m-1.safetensors": shard("x"),
      "m-2.safetensors": shard("x", "y"),
    };
    expect(await refusal(contents)).toBe(
      'model_file_invalid: Tensor "x" comes twice: in m-1.safetensors and in m-2.safetensors.',
    );
  });

  it("closes everything when a header is not sound", async () => {
    const broken = safetensorsBytes({}, 1);
    expect(await refusal({ "model.safetensors": broken })).toContain(
      "model_file_invalid: model.safetensors has",
    );
    const contents = {
      [INDEX]: index({ x: "m-1.safetensors", y: "m-2.safetensors" }),
      "m-1.safetensors": shard("x"),
      "m-2.safetensors": broken,
    };
    expect(await refusal(contents)).toContain("model_file_invalid: m-2.safetensors has");
  });
});

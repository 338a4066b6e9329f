/**
 * Model folders that are broken, each in one way, as a user meets them: one sentence that names the file, the tensor or
 * the field and what was expected, a stable code, exit code 1, nothing on standard output, no stack.
 */
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { randomModelFiles } from "../random-model.js";
import { safetensorsBytes } from "../safetensors-bytes.js";
import { run } from "./captured-io.js";

/** A tensor's entry in a header. */
interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}
type Header = Record<string, Entry>;

const SOUND = randomModelFiles();
const CONFIG = JSON.parse(new TextDecoder().decode(SOUND["config.json"]));
const WEIGHTS = SOUND["model.safetensors"];
const HEADER_BYTES = Number(new DataView(WEIGHTS.buffer).getBigUint64(0, true));
const HEADER_TEXT = new TextDecoder().decode(WEIGHTS.subarray(8, 8 + HEADER_BYTES));
const DATA = WEIGHTS.subarray(8 + HEADER_BYTES);
const WTE = "transformer.wte.weight";
const C_FC = "transformer.h.1.mlp.c_fc.weight";

type Files = Record<string, Uint8Array | string | null>;

const config = (change: object): Files => ({ "config.json": JSON.stringify({ ...CONFIG, ...change }) });
const configText = (inside: string): Files => ({
  "config.json": JSON.stringify(CONFIG).replace("{", `{${inside},`),
});

/** The weights with another header, its text or its entries changed. */
function weights(change: (header: Header) => void, data = DATA): Files {
  const { __metadata__, ...header } = JSON.parse(HEADER_TEXT);
  change(header);
  return weightsText(JSON.stringify({ __metadata__, ...header }), data);
}

function weightsText(header: string, data = DATA): Files {
  const file = safetensorsBytes(header, data.length);
  file.set(data, file.length - data.length);
  return { "model.safetensors": file };
}

/** The weights with one value of a tensor replaced. */
function value(tensor: string, index: number, number: number): Files {
  const data = DATA.slice();
  const { data_offsets: offsets } = JSON.parse(HEADER_TEXT)[tensor] as Entry;
  new DataView(data.buffer).setFloat32(offsets[0] + 4 * index, number, true);
  return weightsText(HEADER_TEXT, data);
}

const sharded = (index: unknown): Files => ({
  "model.safetensors": null,
  "model.safetensors.index.json": typeof index === "string" ? index : JSON.stringify({ weight_map: index }),
});

const CASES: readonly (readonly [what: string, files: Files, code: string, ...said: string[]])[] = [
  ["no config", { "config.json": null }, "model_not_found", "has no config.json"],
  ["an empty config", { "config.json": "" }, "model_file_invalid", "config.json is not valid JSON"],
  ["a list as config", { "config.json": "[]" }, "model_file_invalid", "config.json must hold a JSON object"],
  [
    "a config nested without end",
    { "config.json": `{"a":${"[".repeat(1e5)}` },
    "model_file_invalid",
    "config.json is nested deeper than 64 levels",
  ],
  ["a key twice", configText('"n_head":2'), "model_file_invalid", 'config.json has the key "n_head" twice'],
  ...(["__proto__", "constructor", "prototype"] as const).map(
    (key) =>
      [
        `the key ${key}`,
        configText(`"${key}":{"n_head":2}`),
        "model_file_invalid",
        `config.json has the forbidden key "${key}"`,
      ] as const,
  ),
  [
    "another kind of model",
    config({ model_type: "mixtral" }),
    "model_unsupported",
    'model_type is "mixtral"; its MLPs are mixtures of experts',
  ],
  [
    "no heads",
    config({ n_head: 0 }),
    "model_file_invalid",
    "config.json: n_head is 0, but must be a whole number from 1",
  ],
  [
    "heads that do not divide the width",
    config({ n_head: 3 }),
    "model_file_invalid",
    "n_embd is 8, but must be a multiple",
  ],
  [
    "an unknown activation",
    config({ activation_function: "toString" }),
    "model_unsupported",
    'activation_function is "toString"; known are gelu_new',
  ],
  [
    "an end token that is no number",
    config({ eos_token_id: "61" }),
    "model_file_invalid",
    'eos_token_id is "61", but must be a whole number, a list of such, or null',
  ],
  [
    "a layer too many",
    config({ n_layer: 3 }),
    "model_file_invalid",
    'model.safetensors: tensor "h.2.ln_1.weight" of shape [8] is missing',
  ],
  [
    "a layer too few",
    config({ n_layer: 1 }),
    "model_file_invalid",
    'tensor "transformer.h.1.attn.c_attn.bias" does not belong to GPT-2 with 1 layer',
  ],
  [
    "a width that the weights do not have",
    config({ n_inner: 31 }),
    "model_file_invalid",
    'tensor "transformer.h.0.mlp.c_fc.bias" has shape [32], but the config asks for [31]',
  ],
  [
    "an end token of generation_config.json that is no whole number",
    { "generation_config.json": '{"eos_token_id":[1,6.1]}' },
    "model_file_invalid",
    "generation_config.json: eos_token_id is [1, 6.1], but must be a whole number",
  ],
  [
    "a temperature that is none",
    { "generation_config.json": '{"temperature":1e999}' },
    "model_file_invalid",
    "generation_config.json: temperature is Infinity, but must be a number from 0 to 100",
  ],
  ["no weights", { "model.safetensors": null }, "model_not_found", "expected model.safetensors, or shards"],
  ["weights of 7 bytes", { "model.safetensors": "1234567" }, "model_file_invalid", "has 7 bytes: too short"],
  [
    "a header past the file",
    { "model.safetensors": WEIGHTS.subarray(0, 100) },
    "model_file_invalid",
    `states a header of ${HEADER_BYTES} bytes, but has 100 bytes in all: it is truncated`,
  ],
  [
    "a header length that overflows",
    { "model.safetensors": new Uint8Array(64).fill(0xff) },
    "model_file_invalid",
    "states a header of 18446744073709551615 bytes, but has 64",
  ],
  [
    "truncated data",
    { "model.safetensors": WEIGHTS.subarray(0, WEIGHTS.length - 1) },
    "model_file_invalid",
    'tensor "transformer.wte.weight" ends at byte',
    "it is truncated",
  ],
  [
    "bytes behind the data",
    weightsText(HEADER_TEXT, Uint8Array.from([...DATA, 0])),
    "model_file_invalid",
    "but its last tensor ends at byte",
  ],
  [
    "a tensor twice",
    weightsText(HEADER_TEXT.replace("{", `{"${WTE}":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},`)),
    "model_file_invalid",
    `has the key "${WTE}" twice`,
  ],
  [
    "a tensor called __proto__",
    weightsText(HEADER_TEXT.replace("{", `{"__proto__":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},`)),
    "model_file_invalid",
    'has the forbidden key "__proto__"',
  ],
  [
    "overlapping tensors",
    weights((header) => {
      const { data_offsets: offsets } = header[C_FC];
      header[C_FC].data_offsets = [offsets[0] - 4, offsets[1] - 4];
    }),
    "model_file_invalid",
    `tensor "${C_FC}" overlaps the tensor before it`,
  ],
  [
    "offsets out of range",
    weights((header) => {
      const { data_offsets: offsets } = header[C_FC];
      header[C_FC].data_offsets = [1e12, 1e12 + offsets[1] - offsets[0]];
    }),
    "model_file_invalid",
    `tensor "${C_FC}" ends at byte 1000000001024 of the data, but the file has only ${DATA.length}`,
  ],
  [
    "a shape that overflows",
    weights((header) => {
      header[C_FC].shape = [2 ** 53 - 1, 4];
    }),
    "model_file_invalid",
    `tensor "${C_FC}" has dtype F32 and shape [9007199254740991, 4]: its size overflows`,
  ],
  [
    "a shape that does not fit the config",
    weights((header) => {
      header[C_FC].shape.reverse();
    }),
    "model_file_invalid",
    `tensor "${C_FC}" has shape [32, 8], but the config asks for [8, 32]`,
  ],
  [
    "a dtype that weights cannot have",
    weights((header) => {
      header[C_FC].dtype = "I32";
    }),
    "model_unsupported",
    `tensor "${C_FC}" has dtype I32; weights are read as F32, F16, BF16`,
  ],
  [
    "a dtype that is none",
    weights((header) => {
      header[C_FC].dtype = "toString";
    }),
    "model_file_invalid",
    `tensor "${C_FC}" has dtype "toString", which safetensors does not know`,
  ],
  [
    "a NaN in a matrix",
    value(C_FC, 255, Number.NaN),
    "weights_not_finite",
    `model.safetensors: tensor "${C_FC}" holds a NaN or an infinity; every weight must be a finite number`,
  ],
  [
    "an infinity in a norm",
    value("transformer.ln_f.bias", 7, -1 / 0),
    "weights_not_finite",
    "transformer.ln_f.bias",
  ],
  ["a NaN in the embedding", value(WTE, 0, Number.NaN), "weights_not_finite", `tensor "${WTE}"`],
  [
    "a shard outside the folder",
    sharded({ [WTE]: "../model.safetensors" }),
    "model_file_invalid",
    `model.safetensors.index.json: tensor "${WTE}" is mapped to "../model.safetensors", but a shard must be a plain`,
  ],
  [
    "a shard at the root",
    sharded({ [WTE]: "/etc/passwd" }),
    "model_file_invalid",
    "must be a plain file name",
  ],
  [
    "a hidden shard",
    sharded({ [WTE]: ".hidden.safetensors" }),
    "model_file_invalid",
    "must be a plain file name",
  ],
  [
    "a shard that is not there",
    sharded({ [WTE]: "model-1.safetensors" }),
    "model_not_found",
    "has no model-1.safetensors, which ",
    "model.safetensors.index.json names",
  ],
  ["no shards", sharded({}), "model_file_invalid", "model.safetensors.index.json: weight_map is empty"],
  [
    "a tensor of the index called __proto__",
    sharded('{"weight_map":{"__proto__":"a.safetensors"}}'),
    "model_file_invalid",
    'model.safetensors.index.json has the forbidden key "__proto__"',
  ],
  ["half a tokenizer", { "vocab.json": "{}" }, "tokenizer_invalid", "has vocab.json but no merges.txt"],
  [
    "a tokenizer that is no JSON",
    { "tokenizer.json": "{" },
    "tokenizer_invalid",
    "tokenizer.json is not JSON",
  ],
];

describe("a broken model", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "lastrow-broken-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** What `generate` does with the sound files, some of them replaced or left out. */
  async function generate(files: Files, ...options: string[]) {
    const model = await mkdtemp(join(folder, "model-"));
    for (const [name, content] of Object.entries({ ...SOUND, ...files })) {
      if (content !== null) await writeFile(join(model, name), content);
    }
    const args = ["generate", "--tokens", "1,2", "--max-tokens", "2", "--threads", "1", "--model", model];
    return run([...args, ...options]);
  }

  it("is one that works when nothing is wrong", async () => {
    expect(await generate({})).toMatchObject({ exitCode: 0, stderr: "" });
    const rewritten = weights(() => undefined)["model.safetensors"];
    expect(await generate({ "model.safetensors": rewritten })).toMatchObject({ exitCode: 0, stderr: "" });
  });

  it.each(CASES.map(([what, files, code, ...said]) => ({ what, files, code, said })))(
    "with $what",
    async ({ files, code, said }) => {
      const { exitCode, stdout, stderr } = await generate(files);
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
      expect(stderr).toMatch(/^error: [^\n]+\. \[\w+\]\n$/);
      expect(stderr).toContain(`[${code}]`);
      for (const text of said) expect(stderr).toContain(text);
    },
  );

  it("shows a stack with --debug", async () => {
    const { stderr } = await generate({ "config.json": "" }, "--debug");
    expect(stderr).toMatch(/^error: [^\n]+\[model_file_invalid\]\n[\s\S]*\n\s+at /);
  });

  it.each(["a folder", "a device"])("whose file is %s is refused", async (what) => {
    const model = await mkdtemp(join(folder, "model-"));
    await writeFile(join(model, "config.json"), SOUND["config.json"]);
    if (what === "a folder" || process.platform === "win32") await mkdir(join(model, "model.safetensors"));
    else await symlink("/dev/null", join(model, "model.safetensors"));
    const { exitCode, stderr } = await run(["inspect", "--model", model]);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/model\.safetensors is not a regular file\. \[model_file_invalid\]\n$/);
  });
});

import { describe, expect, it, test } from "vitest";
import type { LastrowError } from "../errors.js";
import {
  chooseGguf,
  type GgufModel,
  ggufModels,
  ggufOfFolder,
  isGgufName,
  type ListedFile,
  shardsOf,
} from "./gguf-names.js";

const MB = 1_000_000;
const listed = (...paths: string[]): ListedFile[] => paths.map((path, i) => ({ path, size: (i + 1) * MB }));
const words = {
  label: "org/repo",
  notFound: "hub_not_found",
  remedy: ({ tag }: GgufModel) => `name one, like ${tag}`,
} as const;
const choose = (tag: string | null, ...paths: string[]) =>
  chooseGguf(ggufModels(listed(...paths)), tag, words).paths[0];

function failure(call: () => unknown): LastrowError {
  try {
    call();
  } catch (error) {
    return error as LastrowError;
  }
  return expect.fail("it did not fail");
}

test.each([
  ["model.gguf", true],
  ["MODEL.GGUF", true],
  ["model.gguf.part", false],
  ["gguf", false],
])("%s is named as GGUF: %s", (name, is) => expect(isGgufName(name)).toBe(is));

test.each([
  ["qwen2.5-0.5b-instruct-q4_k_m.gguf", "Q4_K_M"],
  ["Qwen3-0.6B-Q8_0.gguf", "Q8_0"],
  ["tinyllama-1.1b-chat-v1.0.Q5_K_S.gguf", "Q5_K_S"],
  ["Qwen3-0.6B-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"],
  ["model.i1-IQ4_XS.gguf", "IQ4_XS"],
  ["model_Q6_K.gguf", "Q6_K"],
  ["Llama-3.2-1B-Instruct-f16.gguf", "F16"],
  ["llama-fp16.gguf", "F16"],
  ["ggml-model-bf16.gguf", "BF16"],
  ["gemma-3-270m-it-F32.gguf", "F32"],
  ["gpt-oss-20b-MXFP4.gguf", "MXFP4"],
  ["Q4_K_M/model-00001-of-00002.gguf", "Q4_K_M"],
  ["BF16/model-Q8_0.gguf", "Q8_0"],
  ["model-Q4_K_M-imatrix.gguf", "Q4_K_M"],
  ["stories260K.gguf", null],
  ["Q40-model.gguf", null],
  ["SmolLM2-16-32.gguf", null],
])("%s is quantised as %s", (path, tag) => {
  expect(ggufModels(listed(path))[0]!.tag).toBe(tag);
});

describe("shards", () => {
  const three = ["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"];

  it("are found by any of them", () => {
    for (const name of three) expect(shardsOf(name)).toEqual(three);
    expect(shardsOf("sub/m-00002-of-00002.gguf")).toEqual([
      "sub/m-00001-of-00002.gguf",
      "sub/m-00002-of-00002.gguf",
    ]);
  });

  it.each([
    "m.gguf",
    "m-00000-of-00003.gguf",
    "m-00004-of-00003.gguf",
    "m-00001-of-99999.gguf",
    "m-1-of-3.gguf",
  ])("%s stands for itself", (name) => expect(shardsOf(name)).toEqual([name]));

  it("are one model, of all their sizes, where one of them is not there, too", () => {
    const files = listed("m-Q8_0-00003-of-00003.gguf", "m-Q8_0-00001-of-00003.gguf");
    const paths = three.map((name) => name.replace("m-", "m-Q8_0-"));
    expect(ggufModels(files)).toEqual([{ paths, tag: "Q8_0", bytes: 3 * MB }]);
  });
});

describe("the choice", () => {
  it("is the first by preference without a tag", () => {
    expect(choose(null, "m-Q8_0.gguf", "m-Q4_K_S.gguf", "m-Q2_K.gguf", "m-Q4_0.gguf")).toBe("m-Q4_K_S.gguf");
    expect(choose(null, "m-F16.gguf", "m-BF16.gguf", "m-F32.gguf")).toBe("m-BF16.gguf");
    expect(choose(null, "Q4_K_M/m-00001-of-00002.gguf", "Q8_0/m.gguf")).toBe("Q4_K_M/m-00001-of-00002.gguf");
  });

  it("is the only model, however it is called", () => {
    expect(choose(null, "stories260K.gguf", "README.md", "mmproj-stories-f16.gguf")).toBe("stories260K.gguf");
  });

  it("is that of the tag, in any case", () => {
    const paths = ["m-q4_k_m.gguf", "m-Q8_0.gguf", "m-UD-Q4_K_XL.gguf", "m-f16.gguf"];
    expect(choose("Q4_K_M", ...paths)).toBe("m-q4_k_m.gguf");
    expect(choose("q8_0", ...paths)).toBe("m-Q8_0.gguf");
    expect(choose("UD-Q4_K_XL", ...paths)).toBe("m-UD-Q4_K_XL.gguf");
    expect(choose("q4_k_xl", ...paths)).toBe("m-UD-Q4_K_XL.gguf");
    expect(choose("fp16", ...paths)).toBe("m-f16.gguf");
  });

  it("prefers the very tag to one that ends with it", () => {
    expect(choose("Q4_K_M", "m-UD-Q4_K_M.gguf", "m-Q4_K_M.gguf")).toBe("m-Q4_K_M.gguf");
  });

  it("is never a vision projector or an importance matrix", () => {
    expect(choose(null, "mmproj-m-Q4_K_M.gguf", "m-Q8_0.gguf", "imatrix.gguf")).toBe("m-Q8_0.gguf");
    const none = failure(() => choose("F16", "mmproj-F16.gguf", "sub/m.mmproj-f16.gguf"));
    expect(none.message).toBe("org/repo has no GGUF file of a language model.");
  });

  it("lists with sizes what is there when none fits", () => {
    const none = failure(() => choose("Q4_1", "m-Q2_K.gguf", "s-Q3_K-00001-of-00002.gguf"));
    expect(none).toMatchObject({
      code: "hub_not_found",
      message:
        'org/repo has GGUF files, but none of "Q4_1": m-Q2_K.gguf (1 MB), s-Q3_K-00001-of-00002.gguf (2 files, 2 MB); name one, like Q2_K.',
    });
    expect(failure(() => choose(null, "m-Q2_K.gguf", "m-Q3_K_S.gguf")).message).toMatch(
      /none of Q4_K_M, .*, F16: m-Q2_K\.gguf \(1 MB\), m-Q3_K_S\.gguf \(2 MB\); name one, like Q2_K\.$/,
    );
  });

  it("lists with sizes what fits when several do", () => {
    const several = failure(() => choose(null, "a-Q4_K_M.gguf", "b-Q4_K_M.gguf", "b-Q8_0.gguf"));
    expect(several).toMatchObject({
      code: "invalid_argument",
      message:
        "org/repo has 2 GGUF models of Q4_K_M, of which one must be chosen: a-Q4_K_M.gguf (1 MB), b-Q4_K_M.gguf (2 MB); name one, like Q4_K_M.",
    });
  });

  it("lists no more than can be read, and names that show", () => {
    const paths = Array.from({ length: 40 }, (_, i) => `m\u001b${i}-Q2_K.gguf`);
    const { message } = failure(() => choose(null, ...paths));
    expect(message).toContain("and 10 more");
    expect(message).toMatch(/^[\x20-\x7e]+$/);
  });
});

describe("a folder", () => {
  const of = (...names: string[]) => ggufOfFolder(listed(...names), "folder", "name one");
  it.each([
    ["config.json", "model.safetensors", "m-Q8_0.gguf"],
    ["config.json", "model.safetensors.index.json", "m-Q8_0.gguf"],
    ["config.json", "pytorch_model.bin"],
    [],
  ])("of %j %j %j holds a model in another form, or none", (...names) => {
    expect(of(...names)).toEqual({});
  });

  it("without safetensors, or with none that can be used, is its GGUF file", () => {
    expect(of("config.json", "m-Q8_0.gguf")).toEqual({ gguf: ["m-Q8_0.gguf"], notices: [] });
    expect(of("model.safetensors", "m-Q8_0.gguf", "m-Q6_K.gguf")).toEqual({
      gguf: ["m-Q6_K.gguf"],
      notices: ["m-Q6_K.gguf (3 MB) was taken of 2 GGUF models; for another name one."],
    });
  });
});

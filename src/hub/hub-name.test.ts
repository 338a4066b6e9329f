import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isCommit, isHubName, parseHubName } from "./hub-name.js";

describe("parseHubName", () => {
  it.each([
    ["distilgpt2", "distilgpt2", "main"],
    ["openai-community/gpt2", "openai-community/gpt2", "main"],
    ["openai-community/gpt2@v1.0", "openai-community/gpt2", "v1.0"],
    ["a/b@refs/pr/1", "a/b", "refs/pr/1"],
    ["a/b_c.d-e@feature/x@2", "a/b_c.d-e", "feature/x@2"],
    [`a/b@${"0a".repeat(20)}`, "a/b", "0a".repeat(20)],
  ])("%s", (name, repo, revision) => {
    expect(parseHubName(name)).toEqual({ repo, revision, gguf: null });
    expect(isHubName(name)).toBe(true);
  });

  it.each([
    ["a/b:Q4_K_M", "main", { tag: "Q4_K_M" }],
    ["a/b:q8_0@v1", "v1", { tag: "q8_0" }],
    ["hf.co/a/b:UD-Q4_K_XL", "main", { tag: "UD-Q4_K_XL" }],
    ["huggingface.co/a/b", "main", null],
    ["a/b/c.gguf", "main", { path: "c.gguf" }],
    ["a/b/c.GGUF@refs/pr/1", "refs/pr/1", { path: "c.GGUF" }],
    ["a/b/Q4/c d-00001-of-00002.gguf", "main", { path: "Q4/c d-00001-of-00002.gguf" }],
    ["a/b:c.gguf@x", "x", { path: "c.gguf" }],
  ])("%s", (name, revision, gguf) => {
    expect(parseHubName(name)).toEqual({ repo: "a/b", revision, gguf });
    expect(isHubName(name)).toBe(true);
  });

  it("takes a repository for one though it is called like a file", () => {
    expect(parseHubName("a/b.gguf")).toEqual({ repo: "a/b.gguf", revision: "main", gguf: null });
    expect(parseHubName("a/b.gguf/c.gguf")).toMatchObject({ repo: "a/b.gguf", gguf: { path: "c.gguf" } });
  });

  it.each([
    ["a/b@main:Q8_0", "the revision comes at the end"],
    ["a/b@main/c.gguf", "the revision comes at the end"],
    ["a/b:Q8_0@main:Q4_0", "the revision comes at the end"],
    ["a/b/c.gguf@c.gguf", "the revision comes at the end"],
    ["a/b:Q8_0/c.gguf", "not by both"],
    ["a/b/c.gguf:Q8_0", "not by both"],
  ])("says of %s what to change", (name, message) => {
    expect(isHubName(name)).toBe(true);
    expect(() => parseHubName(name)).toThrow(
      expect.objectContaining({ code: "invalid_argument", message: expect.stringContaining(message) }),
    );
  });

  it.each([
    "",
    "/",
    "a/",
    "/a",
    "a/b/c",
    "b.gguf",
    "a/b:",
    "a/b:Q8 0",
    "a/b:Q8_0:Q4_0",
    `a/b:${"Q".repeat(65)}`,
    "a/b/c.gguf/",
    "a/b/c.bin",
    "C:/a/b.gguf",
    "hf.co/",
    "./a",
    "../a",
    "a/..",
    "a..b",
    "a--b",
    "a/b.git",
    "-a",
    "a.",
    "a b",
    "a\\b",
    "C:\\a",
    "a/b?x=1",
    "a/b#x",
    "a/b%2f",
    "a/b\n",
    "x".repeat(97),
    "a/b@",
    "a/b@..",
    "a/b@../../x",
    "a/b@/etc",
    "a/b@x/",
    "a/b@x//y",
    "a/b@.hidden",
    "a/b@x.",
    "a/b@x.lock",
    "a/b@x\\y",
    `a/b@${"x".repeat(201)}`,
  ])("refuses %j", (name) => {
    expect(isHubName(name)).toBe(false);
    expect(() => parseHubName(name)).toThrow(expect.objectContaining({ code: "invalid_argument" }));
  });

  it("never lets a part through that means another folder", () => {
    const part = fc.constantFrom("a", "b", ".", "..", "/", "@", "-", "\\", ":", "main", ".gguf");
    const read = (name: string) => {
      try {
        return parseHubName(name);
      } catch {
        return null;
      }
    };
    fc.assert(
      fc.property(fc.array(part, { maxLength: 10 }), (parts) => {
        const found = read(parts.join(""));
        if (found === null) return;
        const { repo, revision, gguf } = found;
        const path = gguf !== null && "path" in gguf ? gguf.path.split("/") : [];
        for (const segment of [...repo.split("/"), ...revision.split("/"), ...path]) {
          expect(segment).toMatch(/^[\w@-][\w.@-]*$/);
          expect(segment).not.toContain("..");
        }
      }),
    );
  });
});

it("isCommit takes whole lower-case hashes only", () => {
  expect(isCommit("0123456789abcdef0123456789abcdef01234567")).toBe(true);
  expect(isCommit("0123456789ABCDEF0123456789ABCDEF01234567")).toBe(false);
  expect(isCommit("0123456")).toBe(false);
  expect(isCommit("main")).toBe(false);
});

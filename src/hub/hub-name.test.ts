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
    expect(parseHubName(name)).toEqual({ repo, revision });
    expect(isHubName(name)).toBe(true);
  });

  it.each([
    "",
    "/",
    "a/",
    "/a",
    "a/b/c",
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
    "a/b@x:y",
    `a/b@${"x".repeat(201)}`,
  ])("refuses %j", (name) => {
    expect(isHubName(name)).toBe(false);
    expect(() => parseHubName(name)).toThrow(expect.objectContaining({ code: "invalid_argument" }));
  });

  it("never lets a part through that means another folder", () => {
    const part = fc.constantFrom("a", "b", ".", "..", "/", "@", "-", "\\", ":", "main");
    fc.assert(
      fc.property(fc.array(part, { maxLength: 10 }), (parts) => {
        const name = parts.join("");
        if (!isHubName(name)) return;
        const { repo, revision } = parseHubName(name);
        for (const segment of [...repo.split("/"), ...revision.split("/")]) {
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

import { expect, test } from "vitest";
import { settleLimits } from "./limits.js";

test("a limit has its default, or what is asked for", () => {
  expect(settleLimits()).toMatchObject({ logprobs: 20, n: 16 });
  expect(settleLimits({ logprobs: 0, n: 2 })).toMatchObject({ logprobs: 0, n: 2 });
});

test.each([
  [{ n: 0 }, "max-n is a number of at least 1, not 0."],
  [{ logprobs: 21 }, "max-logprobs is a number from 0 to 20, not 21."],
  [{ n: "2" as never }, 'max-n is a number of at least 1, not "2".'],
])("%j is refused", (asked, message) => {
  expect(() => settleLimits(asked)).toThrow(expect.objectContaining({ code: "invalid_argument", message }));
});

import { expect, it } from "vitest";
import { settleLimits } from "./limits.js";

it("refuses at the start as many log-probabilities as every request would be refused", () => {
  expect(settleLimits({ logprobs: 0 }).logprobs).toBe(0);
  expect(settleLimits({ logprobs: 20 }).logprobs).toBe(20);
  for (const logprobs of [-1, 21, Number.POSITIVE_INFINITY]) {
    expect(() => settleLimits({ logprobs })).toThrow(
      expect.objectContaining({
        code: "invalid_argument",
        message: `max-logprobs is a number from 0 to 20, not ${logprobs}.`,
      }),
    );
  }
});

import { expect, test } from "vitest";
import { replyTokensIn } from "./generate-options.js";

test("an answer in a chat has 4,096 tokens unless the model or the options say; half of a short context, and never less than 256", () => {
  expect([32_768, 8_193, 8_191, 2_048, 600, 512, 64].map(replyTokensIn)).toEqual([
    4096, 4096, 4095, 1024, 300, 256, 256,
  ]);
});

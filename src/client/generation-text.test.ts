/** Text of a continuation whose tokenizer has a space in front of each word, and tokens that are single bytes. */
import { beforeAll, expect, test } from "vitest";
import { familyTokenizer } from "../../test/family-tokenizers.js";
import type { GenerationPiece, GenerationRequest } from "../protocol/generation-request.js";
import type { ChosenToken } from "../sampling/continuation.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { GenerationText } from "./generation-text.js";

let tokenizer: Tokenizer;
beforeAll(async () => {
  tokenizer = await familyTokenizer("Phi-3");
});

/** The pieces that come of some tokens behind a prompt. */
function pieces(prompt: readonly number[], tokens: readonly number[], stop: readonly string[] = []) {
  const emitted: string[] = [];
  const request = { prompt, bestOf: 1, n: 1, beams: null, sampling: { logprobs: null } };
  const text = new GenerationText(
    request as unknown as GenerationRequest,
    { tokenizer, stop, loadMs: 0 },
    (piece: GenerationPiece) => emitted.push(piece.text),
  );
  const taken = text.take(
    0,
    tokens.map((token) => ({ token }) as ChosenToken),
  );
  if (taken === null) text.finished(0);
  return emitted;
}

const ids = (text: string) => tokenizer.encode(text, { parseSpecial: true });

test("keeps the space in front of its first word behind a text, and has none at a beginning", () => {
  const word = ids("word");
  expect(pieces(ids("Hello"), word).join("")).toBe(" word");
  expect(pieces([], word).join("")).toBe("word");
  // A chat's answer: encoding puts a space in front of a word behind a special token, too.
  expect(pieces(ids("Hello<|end|><|assistant|>"), word).join("")).toBe("word");
});

test("comes in whole characters, and finds a stop string within one of several bytes", () => {
  const face = ids("a🙂").slice(-4);
  expect(face.map((id) => tokenizer.tokenBytes(id).length)).toEqual([1, 1, 1, 1]);
  expect(pieces(ids("Hello"), face)).toEqual(["", "", "", "🙂"]);
  expect(pieces(ids("Hello"), [...face, ...ids("a")], ["🙂"]).join("")).toBe("");
  // Cut within it: what was held back comes at the end, one for each byte.
  expect(pieces(ids("Hello"), face.slice(0, 2))).toEqual(["", "", "\ufffd\ufffd"]);
});

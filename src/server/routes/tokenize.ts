/** `POST /tokenize` and `/detokenize`, with vLLM's and llama.cpp's bodies. */
import { ApiError } from "../api-error.js";
import { messageTexts } from "../schemas/chat.js";
import {
  detokenizeRequest,
  detokenizeResponse,
  type TokenizeRequest,
  tokenizeRequest,
  tokenizeResponse,
} from "../schemas/tokenize.js";
import { chatTokens, expectFitting, expectModel, type Service, takeTextTurn } from "../service.js";
import type { TextThread } from "../text-thread.js";
import { tokenPiece, tokenText } from "../token-text.js";
import { type App, routeWithBody } from "./routing.js";

export function addTokenize(app: App, service: Service): void {
  const { limits, served, engine } = service;
  routeWithBody(
    app,
    {
      method: "post",
      path: "/tokenize",
      summary: "Token ids of a text or a conversation.",
      body: tokenizeRequest(limits),
      response: tokenizeResponse,
    },
    limits,
    async (context, body) => {
      const exchange = context.get("exchange");
      expectModel(service, body.model);
      await takeTextTurn(service, exchange);
      const tokens =
        body.messages != null
          ? await chatTokens(service, messageTexts(body.messages), {
              addGenerationPrompt: body.add_generation_prompt ?? true,
              exchange,
            })
          : await textTokens(service, body, exchange.signal);
      const { tokenizer } = engine.model;
      return context.json({
        tokens:
          body.with_pieces === true
            ? tokens.map((id) => ({ id, piece: tokenizer === null ? "" : tokenPiece(tokenizer, id) }))
            : tokens,
        count: tokens.length,
        max_model_len: served.info.config.contextLength,
        token_strs: body.return_token_strs === true ? tokens.map((id) => tokenText(tokenizer, id)) : null,
      });
    },
  );
  routeWithBody(
    app,
    {
      method: "post",
      path: "/detokenize",
      summary: "Text of token ids.",
      body: detokenizeRequest(served.info.config.contextLength),
      response: detokenizeResponse,
    },
    limits,
    async (context, { model, tokens }) => {
      expectModel(service, model);
      const exchange = context.get("exchange");
      await takeTextTurn(service, exchange);
      const { signal } = exchange;
      const text = await expectTexts(service).decode(tokens, { skipSpecialTokens: false, signal });
      return context.json({ prompt: text, content: text });
    },
  );
}

/** vLLM adds special tokens unless told otherwise, llama.cpp only when told so. */
function textTokens(service: Service, body: TokenizeRequest, signal: AbortSignal): Promise<number[]> {
  const isLlama = body.content != null;
  const text = body.content ?? body.prompt ?? "";
  const texts = expectTexts(service);
  expectFitting(service, text, isLlama ? "content" : "prompt");
  return texts.encode(text, {
    addSpecialTokens: isLlama ? (body.add_special ?? false) : (body.add_special_tokens ?? true),
    parseSpecial: body.parse_special ?? false,
    signal,
  });
}

function expectTexts({ texts, served }: Service): TextThread {
  if (texts !== null) return texts;
  throw new ApiError(
    400,
    "tokenizer_missing",
    `${served.id} has no tokenizer; give token ids in place of text.`,
  );
}

/** `POST /tokenize` and `/detokenize`, with vLLM's and llama.cpp's bodies. */
import { ApiError } from "../api-error.js";
import { chatPrompt } from "../chat-generation.js";
import type { Exchange } from "../exchange.js";
import type { ModelService } from "../model-service.js";
import { chatPromptAsk } from "../openai-chat.js";
import {
  detokenizeRequest,
  detokenizeResponse,
  type TokenizeRequest,
  tokenizeRequest,
  tokenizeResponse,
} from "../schemas/tokenize.js";
import { callerOf, expectFitting, expectTokens, type Service } from "../service.js";
import type { TextThread } from "../text-thread.js";
import { tokenPiece, tokenText } from "../token-text.js";
import { type App, routeWithBody } from "./routing.js";

export function addTokenize(app: App, service: Service): void {
  const { limits, models } = service;
  routeWithBody(
    app,
    {
      method: "post",
      path: "/tokenize",
      summary: "Token ids of a text or a conversation.",
      body: tokenizeRequest(limits),
      wants: "text",
      response: tokenizeResponse,
    },
    service,
    async (context, body) => {
      const exchange = context.get("exchange");
      const model = await service.model(body.model, exchange);
      const tokens =
        body.messages != null
          ? (await chatPrompt(model, exchange, chatPromptAsk({ ...body, messages: body.messages }))).tokens
          : await textTokens(model, body, exchange);
      const { tokenizer } = model.engine.model;
      return context.json({
        tokens:
          body.with_pieces === true
            ? tokens.map((id) => ({ id, piece: tokenizer === null ? "" : tokenPiece(tokenizer, id) }))
            : tokens,
        count: tokens.length,
        max_model_len: model.served.info.config.contextLength,
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
      body: detokenizeRequest(models.contextLength),
      wants: "text",
      response: detokenizeResponse,
    },
    service,
    async (context, { model: name, tokens }) => {
      const exchange = context.get("exchange");
      const model = await service.model(name, exchange);
      expectTokens(model, tokens.length, "tokens");
      const text = await expectTexts(model).decode(tokens, {
        skipSpecialTokens: false,
        caller: callerOf(exchange),
      });
      return context.json({ prompt: text, content: text });
    },
  );
}

/** vLLM adds special tokens unless told otherwise, llama.cpp only when told so. */
function textTokens(model: ModelService, body: TokenizeRequest, exchange: Exchange): Promise<number[]> {
  const isLlama = body.content != null;
  const text = body.content ?? body.prompt ?? "";
  const texts = expectTexts(model);
  expectFitting(model, text.length, isLlama ? "content" : "prompt");
  return texts.encode(text, {
    addSpecialTokens: isLlama ? (body.add_special ?? false) : (body.add_special_tokens ?? true),
    parseSpecial: body.parse_special ?? false,
    caller: callerOf(exchange),
  });
}

function expectTexts({ texts, served }: ModelService): TextThread {
  if (texts !== null) return texts;
  throw new ApiError(
    400,
    "tokenizer_missing",
    `${served.id} has no tokenizer; give token ids in place of text.`,
  );
}

/** The text thread itself: turns text and conversations into token ids and back, one task after the other. */
import { parentPort, workerData } from "node:worker_threads";
import { ChatTemplate } from "../chat/chat-template-engine.js";
import { type TemplateAbilities, templateAbilities } from "../chat/template-abilities.js";
import { LastrowError } from "../errors.js";
import { heapLook } from "../platform/node-threads.js";
import { tokenizerOf } from "../tokenizer/make-tokenizer.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import type { TextAnswer, TextTask, TextThreadData } from "./text-messages.js";

const data: TextThreadData = workerData;
const { vocabSize, contextLength } = data;
const port = parentPort!;

interface Texts {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate | null;
  /** Why there is no template. */
  readonly noTemplate: string | null;
  readonly abilities: TemplateAbilities | null;
}

function prepare(): Texts {
  const tokenizer = tokenizerOf(data.tokenizer, vocabSize);
  return { tokenizer, ...prepareTemplate(tokenizer) };
}

/** A model whose own template cannot be parsed is served all the same, without chats. */
function prepareTemplate(tokenizer: Tokenizer): Omit<Texts, "tokenizer"> {
  const { chatTemplate, toolFormat, isTemplateGiven, renderMs: deadlineMs } = data;
  if (!("source" in chatTemplate))
    return { template: null, noTemplate: chatTemplate.missing, abilities: null };
  try {
    const limits = { deadlineMs, contextLength, heapLook: heapLook() };
    const template = new ChatTemplate(chatTemplate.source, tokenizer, limits, toolFormat);
    const abilities = templateAbilities(chatTemplate.source, toolFormat);
    return { template, noTemplate: null, abilities };
  } catch (error) {
    if (isTemplateGiven || !(error instanceof LastrowError) || !(error.cause instanceof Error)) throw error;
    const noTemplate = `has a chat template that cannot be read (${error.cause.message})`;
    return { template: null, noTemplate, abilities: null };
  }
}

async function answer({ tokenizer, template }: Texts, task: TextTask): Promise<TextAnswer> {
  try {
    switch (task.kind) {
      case "encode": {
        const { text, suffix, addSpecialTokens, parseSpecial } = task;
        if (suffix !== null) {
          return { kind: "tokens", tokens: tokenizer.encodeInfill(text, suffix) };
        }
        return { kind: "tokens", tokens: tokenizer.encode(text, { addSpecialTokens, parseSpecial }) };
      }
      case "chat": {
        if (template === null) throw new Error("a conversation came to a thread without a template");
        const { messages, ...options } = task;
        const encoded = template.encode(messages, options);
        return { kind: "chat-prompt", prompt: { ...encoded, turnEnds: await template.turnEnds() } };
      }
      case "decode": {
        const { tokens, skipSpecialTokens } = task;
        return { kind: "text", text: tokenizer.decode(tokens, { skipSpecialTokens }) };
      }
    }
  } catch (error) {
    return failure(error);
  }
}

function failure(error: unknown): TextAnswer {
  const code = error instanceof LastrowError ? error.code : null;
  return { kind: "error", code, message: error instanceof Error ? error.message : String(error) };
}

try {
  const texts = prepare();
  port.on("message", async (task: TextTask) => port.postMessage(await answer(texts, task)));
  const { noTemplate, abilities } = texts;
  port.postMessage({ kind: "ready", noTemplate, abilities } satisfies TextAnswer);
} catch (error) {
  port.postMessage(failure(error));
}

/** Items of `/v1/responses`: what a conversation is made of there, as it is sent and as it is answered. */
import { z } from "@hono/zod-openapi";
import { chosen, textOr, typeOf, unknownType } from "./chosen.js";
import { list } from "./first-wrong.js";

/** Characters of an id: OpenAI's have 64 at most. */
const LONGEST_ID = 256;

const id = z.string().min(1).max(LONGEST_ID);
const optionalId = id.nullish().openapi({ description: "As an answer had it; it need not be sent." });
const status = z.enum(["in_progress", "completed", "incomplete"]).nullish();

const TEXT_PARTS = ["input_text", "output_text", "text"] as const;
const textPart = z
  .object({ type: z.enum(TEXT_PARTS), text: z.string() })
  .openapi("ResponseText", { description: "What else OpenAI's have (annotations, say) means nothing here." });
const refusalPart = z.object({ type: z.literal("refusal"), refusal: z.string() }).openapi("ResponseRefusal");

const parts = list(
  chosen([textPart, refusalPart], (input) => {
    const type = typeOf(input);
    if ((TEXT_PARTS as readonly unknown[]).includes(type)) return 0;
    return type === "refusal" ? 1 : unknownType("a part", type, [...TEXT_PARTS, "refusal"]);
  }),
);
const content = () => textOr(parts, "content is a text, or a list of parts that are text");

const message = z
  .object({
    type: z.literal("message").nullish(),
    id: optionalId,
    role: z.enum(["user", "assistant", "system", "developer"], {
      error: "a role is user, assistant, system or developer",
    }),
    content: content(),
    status,
  })
  .openapi("ResponseMessage");

const functionCall = z
  .object({
    type: z.literal("function_call"),
    id: optionalId,
    call_id: id,
    name: z.string().min(1),
    arguments: z.string().openapi({ description: "JSON of an object." }),
    status,
  })
  .openapi("ResponseFunctionCall");

const functionCallOutput = z
  .object({
    type: z.literal("function_call_output"),
    id: optionalId,
    call_id: id.openapi({ description: "Of the call whose result this is." }),
    output: content(),
    status,
  })
  .openapi("ResponseFunctionCallOutput");

const reasoning = z
  .object({
    type: z.literal("reasoning"),
    id: optionalId,
    summary: list(z.object({ type: z.literal("summary_text"), text: z.string() })).nullish(),
    content: list(z.object({ type: z.literal("reasoning_text"), text: z.string() })).nullish(),
    encrypted_content: z
      .string()
      .nullish()
      .openapi({ description: "Null: another server's cannot be read." }),
    status,
  })
  .openapi("ResponseReasoning", {
    description:
      "Thoughts of the assistant's, before what it said. The template decides what of them it shows.",
  });

const itemReference = z
  .object({ type: z.literal("item_reference").nullish(), id })
  .openapi("ResponseItemReference", { description: "An item of a stored response's, of the same API key." });

const BY_TYPE = ["message", "function_call", "function_call_output", "reasoning", "item_reference"] as const;

/** An item that a client sends. */
export const inputItem = chosen(
  [message, functionCall, functionCallOutput, reasoning, itemReference],
  (input) => {
    if (typeof input !== "object" || input === null || Array.isArray(input)) return "an item is an object";
    const { type, role, id: reference } = input as Record<string, unknown>;
    if (type == null && role !== undefined) return 0;
    if (type == null && reference !== undefined) return 4;
    const index = (BY_TYPE as readonly unknown[]).indexOf(type);
    return index === -1 ? unknownType("an item", type, BY_TYPE) : index;
  },
);

export type InputItem = z.infer<typeof inputItem>;
type InputMessage = z.infer<typeof message>;
export type InputParts = InputMessage["content"];
export type InputReasoning = z.infer<typeof reasoning>;
export type ItemReference = z.infer<typeof itemReference>;

const tokenLogprob = z.object({ token: z.string(), logprob: z.number(), bytes: z.array(z.int()).nullable() });

/** A token of an answer's text and its alternatives. */
const outputLogprob = tokenLogprob.extend({ top_logprobs: z.array(tokenLogprob) });

const outputStatus = z.enum(["in_progress", "completed", "incomplete"]);

const outputText = z.object({
  type: z.literal("output_text"),
  text: z.string(),
  annotations: z.array(z.looseObject({})).max(0).openapi({ description: "Always empty." }),
  logprobs: z.array(outputLogprob),
});

const outputMessage = z.object({
  type: z.literal("message"),
  id: z.string(),
  status: outputStatus,
  role: z.literal("assistant"),
  content: z.array(outputText),
});

const outputReasoning = z.object({
  type: z.literal("reasoning"),
  id: z.string(),
  status: outputStatus,
  summary: z
    .array(z.object({ type: z.literal("summary_text"), text: z.string() }))
    .openapi({ description: "The thoughts themselves, all of them, where clients look for them." }),
});

const outputCall = z.object({
  type: z.literal("function_call"),
  id: z.string(),
  status: outputStatus,
  call_id: z.string(),
  name: z.string(),
  arguments: z.string(),
});

export const outputItem = z.discriminatedUnion("type", [outputMessage, outputReasoning, outputCall]);

export type OutputText = z.infer<typeof outputText>;
export type OutputMessage = z.infer<typeof outputMessage>;
export type OutputReasoning = z.infer<typeof outputReasoning>;
export type OutputCall = z.infer<typeof outputCall>;
/** An item of an answer. */
export type OutputItem = z.infer<typeof outputItem>;

/** The bodies of `/v1/responses`. What is not supported is refused by name; what cannot change the answer is taken. */
import { z } from "@hono/zod-openapi";
import { MAX_TOOLS } from "../../tools/tool.js";
import type { ServerLimits } from "../limits.js";
import { templateVariables } from "./chat.js";
import { chosen, textOr, typeOf } from "./chosen.js";
import { list, record } from "./first-wrong.js";
import { count, effortField, generationFields, timingsSchema } from "./generation.js";
import { inputItem, outputItem } from "./response-items.js";
import { boundedTools, jsonSchema } from "./structure.js";
import { otherTool, whichToolChoice } from "./tools.js";
import { unsupported } from "./unsupported.js";

/** Most pairs of `metadata`, and characters of their keys and values, as OpenAI has them. */
const METADATA = { pairs: 16, key: 64, value: 512 };

/** What `include` may name. Only log-probabilities can come here; the rest is of tools that this server does not have. */
const INCLUDABLE = [
  "message.output_text.logprobs",
  "reasoning.encrypted_content",
  ...["file_search_call.results", "web_search_call.results", "web_search_call.action.sources"],
  ...["message.input_image.image_url", "computer_call_output.output.image_url"],
  "code_interpreter_call.outputs",
] as const;

const isNothing = (value: unknown) =>
  value == null || value === false || (Array.isArray(value) && value.length === 0);

/** A field of chats that has another name here. */
function renamed(what: string, to: string) {
  return unsupported(what, (value) => value == null, `in /v1/responses it is ${to}`);
}

const functionTool = z
  .object({
    type: z.literal("function"),
    name: z.string().openapi({ description: "1 to 64 letters, digits, underscores and hyphens." }),
    description: z.string().nullish(),
    parameters: jsonSchema().nullish(),
    strict: z.boolean().nullish().openapi({ description: "Every call fits its schema: no matter." }),
    async: unsupported("async of a tool", isNothing),
    defer_loading: unsupported("defer_loading of a tool", isNothing),
    output_schema: unsupported("output_schema of a tool", isNothing),
  })
  .openapi("ResponseTool");

const tool = chosen([functionTool], (input) => (typeOf(input) === "function" ? 0 : otherTool(typeOf(input))));

const functionChoice = z.object({ type: z.literal("function"), name: z.string() });
const allowedChoice = z.object({
  type: z.literal("allowed_tools"),
  mode: z.enum(["auto", "required"]),
  tools: list(
    chosen([functionChoice], (input) => (typeOf(input) === "function" ? 0 : otherTool(typeOf(input)))),
    { least: 1, most: MAX_TOOLS },
  ),
});

const toolChoice = chosen(
  [z.enum(["none", "auto", "required"]), functionChoice, allowedChoice],
  whichToolChoice,
);

const plainFormat = z.object({ type: z.enum(["text", "json_object"]) });
const schemaFormat = z.object({
  type: z.literal("json_schema"),
  name: z.string().nullish(),
  description: z.string().nullish(),
  schema: jsonSchema(),
  strict: z.boolean().nullish().openapi({ description: "Every answer fits its schema: no matter." }),
});

const textFormat = chosen([plainFormat, schemaFormat], (input) => {
  const type = typeOf(input);
  if (type === "text" || type === "json_object") return 0;
  return type === "json_schema" ? 1 : "text.format.type is text, json_object or json_schema";
});

function conversationFields(limits: ServerLimits) {
  const items = list(inputItem, { least: 1, most: limits.messages });
  return {
    input: textOr(items, "input is a text, or a list of items").nullish().openapi({
      description:
        "What is answered: a text of the user's, or items. Needed, unless there is a response before.",
    }),
    instructions: z.string().nullish().openapi({
      description: "The first message, the system's. Not carried over from the response before.",
    }),
    previous_response_id: z
      .string()
      .nullish()
      .openapi({ description: "A stored response, whose items come before the input." }),
    conversation: unsupported("conversation", (value) => value == null, "use previous_response_id"),
    prompt: unsupported("prompt", (value) => value == null, "send instructions and input"),
    context_management: unsupported("context_management", isNothing),
    truncation: z
      .unknown()
      .refine((value) => value == null || value === "disabled", {
        error: 'truncation "auto" is not supported: an input that is too long is refused, not cut',
      })
      .optional()
      .openapi({ type: ["string", "null"], enum: ["disabled", null] }),
  };
}

/** What else is in the prompt, or says how it is made, and what may be called behind it. */
function promptFields() {
  return {
    text: z
      .object({
        format: textFormat.nullish(),
        verbosity: z
          .unknown()
          .refine((value) => value == null || value === "medium", {
            error:
              "text.verbosity is not supported by this server: say in the instructions how long an answer is to be",
          })
          .optional(),
      })
      .nullish(),
    reasoning: z
      .object({
        effort: effortField(),
        summary: z.enum(["auto", "concise", "detailed"]).nullish(),
        generate_summary: z.enum(["auto", "concise", "detailed"]).nullish(),
        mode: unsupported("reasoning.mode", (value) => value == null || value === "standard"),
        context: unsupported("reasoning.context", (value) => value == null || value === "auto"),
      })
      .nullish(),
    tools: list(tool, { most: MAX_TOOLS }).superRefine(boundedTools).nullish(),
    tool_choice: toolChoice.nullish(),
    parallel_tool_calls: z.boolean().nullish(),
    chat_template_kwargs: templateVariables(),
  };
}

function answerFields(limits: ServerLimits) {
  const { temperature, top_p, stream } = generationFields(limits);
  return {
    ...{ temperature, top_p, stream },
    store: z.boolean().nullish().openapi({
      description:
        "Whether items are kept, for a time and within bounds, for requests of the same API key. Default true.",
    }),
    max_output_tokens: count(limits.maxTokens, 1).openapi({
      description: "Most tokens to generate, thoughts included.",
    }),
    top_logprobs: count(limits.logprobs).openapi({
      description: "Alternatives of each token; log-probabilities come with it, or with include.",
    }),
    include: list(z.enum(INCLUDABLE), { most: INCLUDABLE.length }).nullish(),
    background: unsupported("background", isNothing),
    moderation: unsupported("moderation", isNothing),
    stream_options: z.object({ include_obfuscation: z.boolean().nullish() }).nullish(),
  };
}

/** Fields that are told back, and nothing else. */
function toldFields() {
  const value = z.string().max(METADATA.value);
  // Told with three events of a stream: no longer than a value of metadata.
  const told = () => value.nullish();
  const tooMany = `metadata may have ${METADATA.pairs} pairs`;
  return {
    metadata: record(value, { most: METADATA.pairs, tooMany })
      .refine((pairs) => Object.keys(pairs).every((key) => key.length <= METADATA.key), {
        error: `a key of metadata has at most ${METADATA.key} characters`,
      })
      .nullish(),
    max_tool_calls: z
      .int()
      .min(0)
      .nullish()
      .openapi({ description: "Of tools that this server does not have." }),
    ...{ prompt_cache_key: told(), safety_identifier: told(), service_tier: told(), user: told() },
  };
}

/** Fields beyond OpenAI's, as chats have them. */
function moreFields(limits: ServerLimits) {
  const { seed, stop, stop_token_ids, ignore_eos, top_k, min_p, speculate } = generationFields(limits);
  const { repetition_penalty, presence_penalty, frequency_penalty, logit_bias } = generationFields(limits);
  const { cache_salt, cache_prompt } = generationFields(limits);
  return {
    ...{ seed, stop, stop_token_ids, ignore_eos, top_k, min_p, speculate },
    ...{ repetition_penalty, presence_penalty, frequency_penalty, logit_bias, cache_salt, cache_prompt },
    max_tokens: renamed("max_tokens", "max_output_tokens"),
    max_completion_tokens: renamed("max_completion_tokens", "max_output_tokens"),
    response_format: renamed("response_format", "text.format"),
    n: unsupported("n", (value) => value == null || value === 1, "a response has one answer"),
  };
}

/** What makes the prompt. */
function askedFields(limits: ServerLimits) {
  return {
    model: generationFields(limits).model,
    ...conversationFields(limits),
    ...promptFields(),
    messages: renamed("messages", "input"),
    functions: renamed("functions", "tools"),
    reasoning_effort: renamed("reasoning_effort", "reasoning.effort"),
  };
}

/** What makes the prompt of a response, whose tokens are counted. What else a response is asked with changes nothing of it. */
export function inputTokensRequest(limits: ServerLimits) {
  return z.object(askedFields(limits)).openapi("ResponseInputTokensRequest");
}

export type InputTokensRequest = z.infer<ReturnType<typeof inputTokensRequest>>;

export const inputTokensResponse = z
  .object({ object: z.literal("response.input_tokens"), input_tokens: z.int() })
  .openapi("ResponseInputTokens");

export function responseRequest(limits: ServerLimits) {
  return z
    .object({
      ...askedFields(limits),
      ...answerFields(limits),
      ...toldFields(),
      ...moreFields(limits),
    })
    .openapi("ResponseRequest");
}

export type ResponseRequest = z.infer<ReturnType<typeof responseRequest>>;
export type ResponseToolChoice = z.infer<typeof toolChoice>;

export const responseParams = z.object({ id: z.string() });

const usage = z.object({
  input_tokens: z.int(),
  input_tokens_details: z.object({ cached_tokens: z.int() }),
  output_tokens: z.int(),
  output_tokens_details: z.object({ reasoning_tokens: z.int() }),
  total_tokens: z.int(),
});

export type ResponseUsage = z.infer<typeof usage>;

export const responseBody = z
  .object({
    id: z.string(),
    object: z.literal("response"),
    created_at: z.int(),
    completed_at: z.int().nullable(),
    status: z.enum(["in_progress", "completed", "incomplete", "failed"]),
    model: z.string(),
    output: z.array(outputItem),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
    incomplete_details: z.object({ reason: z.literal("max_output_tokens") }).nullable(),
    usage: usage.nullable(),
    timings: timingsSchema.optional(),
    store: z.boolean().openapi({ description: "Whether it is kept: not if it alone is over the bounds." }),
    previous_response_id: z.string().nullable(),
  })
  .loose()
  .openapi("Response", { description: "What else the request said is told back, under the same names." });

export const deletedResponse = z
  .object({ id: z.string(), object: z.literal("response"), deleted: z.literal(true) })
  .openapi("DeletedResponse");

export const responseItems = z
  .object({
    object: z.literal("list"),
    data: z.array(z.looseObject({ id: z.string(), type: z.string() })),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
  })
  .openapi("ResponseItemList");

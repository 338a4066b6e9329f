/** Tools and calls in requests and answers of chats, in OpenAI's form. */
import { z } from "@hono/zod-openapi";
import { quoteValue } from "../../quote-value.js";
import { MAX_TOOLS } from "../../tools/tool.js";
import { chosen, typeOf } from "./chosen.js";
import { list } from "./first-wrong.js";
import { boundedTools, jsonSchema } from "./structure.js";

const onlyFunctions = (what: string) =>
  z.literal("function", { error: `${what} of type function are supported` });

/** Refuses a tool that is not a function, by its type. */
export function otherTool(type: unknown): string {
  const called = typeof type === "string" ? `the tool ${quoteValue(type)}` : "a tool without a type";
  return `${called} is not supported: this server has functions (type function), which the client runs`;
}

/** A call in an earlier message. */
export const toolCallMessage = z
  .object({
    id: z.string(),
    type: onlyFunctions("only calls").optional(),
    function: z.object({
      name: z.string(),
      arguments: z.string().openapi({ description: "JSON of an object." }),
    }),
  })
  .openapi("ToolCallMessage");

const tool = z
  .object({
    type: onlyFunctions("only tools"),
    function: z.object({
      name: z.string(),
      description: z.string().nullish(),
      parameters: jsonSchema()
        .optional()
        .openapi({ description: "A JSON Schema of the object that it takes." }),
      strict: z
        .boolean()
        .nullish()
        .openapi({ description: "The arguments of every call fit their schema: no matter." }),
    }),
  })
  .openapi("Tool");

/** What the model may call: a part of the prompt. */
export function toolsField() {
  return list(tool, {
    most: MAX_TOOLS,
    tooLong: (length) => ({
      code: "invalid_request",
      message: `tools has ${length} tools; the most are ${MAX_TOOLS}`,
    }),
  })
    .superRefine(boundedTools)
    .nullish()
    .openapi({ description: "Functions that the model may call, for models whose template knows tools." });
}

const functionChoice = z.object({ type: z.literal("function"), function: z.object({ name: z.string() }) });
const allowedChoice = z.object({
  type: z.literal("allowed_tools"),
  allowed_tools: z.object({
    mode: z.enum(["auto", "required"]),
    tools: list(
      chosen([functionChoice], (input) => (typeOf(input) === "function" ? 0 : otherTool(typeOf(input)))),
      { least: 1, most: MAX_TOOLS },
    ),
  }),
});

const toolChoice = chosen(
  [z.enum(["none", "auto", "required"]), functionChoice, allowedChoice],
  whichToolChoice,
);

/** Of the forms of a tool choice, a word, a function or allowed tools, the one that an input is; else what is wrong with it. */
export function whichToolChoice(input: unknown): number | string {
  const type = typeOf(input);
  if (typeof input === "string") return 0;
  if (type === "function") return 1;
  if (type === "allowed_tools") return 2;
  return type === undefined
    ? 'tool_choice is "none", "auto", "required", a function or allowed_tools'
    : otherTool(type);
}

/** How it calls. */
export function toolChoiceFields() {
  return {
    tool_choice: toolChoice.nullish().openapi({ description: "Default auto: as the model likes." }),
    parallel_tool_calls: z
      .boolean()
      .nullish()
      .openapi({ description: "Whether an answer may have several calls; default true." }),
  };
}

const toolChoiceObject = () => z.object(toolChoiceFields());

export type ToolChoiceBody = z.infer<ReturnType<typeof toolChoiceObject>>;

/** Calls of an answer. */
export const toolCallsResponse = z.array(
  z.object({
    id: z.string(),
    type: z.literal("function"),
    function: z.object({ name: z.string(), arguments: z.string() }),
  }),
);

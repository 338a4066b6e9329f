/**
 * What an answer is to be held to, as requests say it: OpenAI's `response_format`, and the names that vLLM and llama.cpp
 * have for the same. What a schema may say is the library's to check, when it is compiled.
 */
import { z } from "@hono/zod-openapi";
import { jsonLength } from "../../grammar/json-schema/json-length.js";
import {
  MAX_GRAMMAR_LENGTH,
  MAX_PATTERN_LENGTH,
  SCHEMA_LIMITS,
} from "../../grammar/json-schema/schema-limits.js";
import type { JsonSchema, StructureOptions } from "../../library/structured-output.js";
import { TOOLS_TOO_LONG } from "../../tools/tool.js";
import { ApiError } from "../api-error.js";
import { list } from "./first-wrong.js";
import { unsupported } from "./unsupported.js";

/** Choices of one request, and characters of each. */
const MOST_CHOICES = 1024;
const LONGEST_CHOICE = 1024;
/** Refuses what is too long as JSON, before it is handed on to another thread; a text is JSON already. */
function bounded(message: string) {
  const { maxLength } = SCHEMA_LIMITS;
  return (value: unknown, context: z.RefinementCtx<unknown>) => {
    const length = typeof value === "string" ? value.length : jsonLength(value ?? null, maxLength);
    if (length > maxLength) {
      context.addIssue({ code: "custom", message, params: { code: "invalid_argument" } });
    }
  };
}

const SCHEMA_TOO_LONG = `a schema has at most ${SCHEMA_LIMITS.maxLength} characters as JSON`;

export const boundedSchema = bounded(SCHEMA_TOO_LONG);
export const boundedTools = bounded(TOOLS_TOO_LONG);

/** Taken as it is: but for its length, nothing in it is looked at here. */
export const jsonSchema = () =>
  z
    .unknown()
    .refine((value) => typeof value === "boolean" || (typeof value === "object" && !Array.isArray(value)), {
      error: "a schema is an object, true or false",
    })
    .superRefine(boundedSchema)
    .openapi({ type: ["object", "boolean", "null"], description: "A JSON Schema, draft 2020-12." });

const schemaOrText = () => z.union([z.string().superRefine(boundedSchema), jsonSchema()]).optional();

const pattern = () =>
  z
    .string()
    .min(1)
    .max(MAX_PATTERN_LENGTH)
    .nullish()
    .openapi({ description: "An ECMAScript pattern that the whole answer matches." });

const grammar = () =>
  z.string().max(MAX_GRAMMAR_LENGTH).nullish().openapi({
    description: "A grammar in GBNF, llama.cpp's form, of which the answer is; an empty text is none.",
  });

const choice = () =>
  list(z.string().min(1).max(LONGEST_CHOICE), { least: 1, most: MOST_CHOICES })
    .nullish()
    .openapi({ description: "The answer is one of these texts." });

/** Fields of completions and chats. */
export function structureFields() {
  return {
    response_format: z
      .object({
        type: z.enum(["text", "json_object", "json_schema"], {
          error: "response_format.type is text, json_object or json_schema",
        }),
        json_schema: z
          .object({
            name: z.string().nullish(),
            description: z.string().nullish(),
            schema: jsonSchema().optional(),
            strict: z
              .boolean()
              .nullish()
              .openapi({ description: "Every answer fits its schema: no matter." }),
          })
          .nullish(),
        schema: jsonSchema().optional().openapi({ description: "llama.cpp's, of json_object." }),
      })
      .nullish()
      .openapi({ description: "What the answer is held to: any JSON object, or JSON that fits a schema." }),
    structured_outputs: z
      .object({
        json: schemaOrText(),
        json_object: z.boolean().nullish(),
        regex: pattern(),
        choice: choice(),
        grammar: grammar(),
        structural_tag: unsupported("structured_outputs.structural_tag"),
      })
      .nullish()
      .openapi({ description: "vLLM's name for the same." }),
    guided_json: schemaOrText().openapi({ description: "vLLM's older name for a schema, or one as a text." }),
    guided_regex: pattern(),
    guided_choice: choice(),
    guided_grammar: grammar(),
    json_schema: jsonSchema().optional().openapi({ description: "llama.cpp's name for a schema." }),
    grammar: grammar(),
  };
}

type StructureFields = z.infer<ReturnType<typeof structureObject>>;
const structureObject = () => z.object(structureFields());

/** Schemas that are given under several names, of which only one may be, are no longer in all than one may be. */
export function boundedTogether(fields: Partial<StructureFields>, context: z.RefinementCtx<unknown>): void {
  const { response_format: format, structured_outputs: outputs, guided_json, json_schema } = fields;
  const given = [format?.json_schema?.schema, format?.schema, outputs?.json, guided_json, json_schema];
  const schemas = given.filter((schema) => schema != null);
  if (schemas.length > 1) boundedSchema(schemas, context);
}

/** What an answer is held to, and the field that says so. */
export interface AskedStructure {
  readonly options: StructureOptions;
  readonly param: string;
}

/** Any JSON object. */
export const ANY_OBJECT: JsonSchema = { type: "object" };

/**
 * @returns null where nothing is asked for
 * @throws ApiError 400 for fields that say it twice, or do not say what
 */
export function askedStructure(fields: Partial<StructureFields>): AskedStructure | null {
  const { response_format: format, structured_outputs: outputs } = fields;
  const asked: readonly (AskedStructure | null)[] = [
    ofResponseFormat(format),
    schemaOf(outputs?.json, "structured_outputs.json"),
    outputs?.json_object === true ? schemaOf(ANY_OBJECT, "structured_outputs.json_object") : null,
    regexOf(outputs?.regex, "structured_outputs.regex"),
    choiceOf(outputs?.choice, "structured_outputs.choice"),
    grammarOf(outputs?.grammar, "structured_outputs.grammar"),
    schemaOf(fields.guided_json, "guided_json"),
    regexOf(fields.guided_regex, "guided_regex"),
    choiceOf(fields.guided_choice, "guided_choice"),
    grammarOf(fields.guided_grammar, "guided_grammar"),
    schemaOf(fields.json_schema, "json_schema"),
    grammarOf(fields.grammar, "grammar"),
  ];
  const [one = null, another] = asked.filter((structure) => structure !== null);
  if (another === undefined) return one;
  throw refused(`${one?.param} and ${another.param} cannot be combined; give one of them.`, another.param);
}

function ofResponseFormat(format: StructureFields["response_format"]): AskedStructure | null {
  if (format == null || format.type === "text") return null;
  if (format.type === "json_object") return schemaOf(format.schema ?? ANY_OBJECT, "response_format");
  const schema = format.json_schema?.schema;
  if (schema == null) {
    throw refused(
      "response_format of the type json_schema has a json_schema with a schema in it.",
      "response_format",
    );
  }
  return schemaOf(schema, "response_format");
}

function schemaOf(value: unknown, param: string): AskedStructure | null {
  if (value == null) return null;
  if (typeof value !== "string") return { options: { schema: value as JsonSchema }, param };
  try {
    return { options: { schema: JSON.parse(value) }, param };
  } catch (cause) {
    throw refused(`${param} is a text that is not JSON: ${(cause as Error).message}.`, param);
  }
}

function regexOf(regex: string | null | undefined, param: string): AskedStructure | null {
  return regex == null ? null : { options: { regex }, param };
}

function grammarOf(grammar: string | null | undefined, param: string): AskedStructure | null {
  return grammar == null || grammar === "" ? null : { options: { grammar }, param };
}

function choiceOf(texts: readonly string[] | null | undefined, param: string): AskedStructure | null {
  if (texts == null) return null;
  const escaped = texts.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  const regex = `(?:${escaped.join("|")})`;
  if (regex.length <= MAX_PATTERN_LENGTH) return { options: { regex }, param };
  throw refused(
    `${param} has ${texts.length} texts that take ${regex.length} characters as a pattern; the most are ${MAX_PATTERN_LENGTH}.`,
    param,
  );
}

function refused(message: string, param: string): ApiError {
  return new ApiError(400, "invalid_request", message, { param });
}

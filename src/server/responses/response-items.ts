/**
 * From what a request of `/v1/responses` says to the items of its conversation: the response before, references to stored
 * items, and what is new, each as it will be kept.
 */
import { ApiError } from "../api-error.js";
import type { Principal } from "../keys.js";
import type { ServerLimits } from "../limits.js";
import type { InputItem, InputParts, ItemReference, OutputItem } from "../schemas/response-items.js";
import type { ResponseRequest } from "../schemas/responses.js";
import type { StoredItem, StoredResponses } from "./stored-responses.js";

/** An item of a conversation: of the client's, or of an answer. */
export type ConversationItem = Exclude<InputItem, ItemReference> | OutputItem;

const PREFIXES = {
  message: "msg",
  function_call: "fc",
  function_call_output: "fco",
  reasoning: "rs",
} as const;

export function newId(prefix: string): string {
  return `${prefix}_${crypto.randomUUID().replaceAll("-", "")}`;
}

/**
 * The items of a request's conversation, in their order, as they will be kept.
 * @throws ApiError 404 for a response and for items that the key does not have, 400 where nothing is asked, or too much
 */
export function conversationItems(
  { input, previous_response_id: previous }: Pick<ResponseRequest, "input" | "previous_response_id">,
  stored: StoredResponses,
  principal: Principal,
  limits: Pick<ServerLimits, "messages" | "bodyBytes">,
): readonly StoredItem[] {
  if (input == null && previous == null) {
    throw new ApiError(400, "invalid_request", "input is needed: a text, or a list of items.", {
      param: "input",
    });
  }
  const items = previous == null ? [] : itemsBefore(previous, stored, principal);
  const added = typeof input === "string" ? [{ role: "user" as const, content: input }] : (input ?? []);
  for (const item of added) items.push(itemOf(item, stored, principal));
  const refused = (what: string, most: number) =>
    new ApiError(
      400,
      "invalid_request",
      `The conversation has ${what}, those of the responses before included; this server takes ${most}.`,
      { param: "input" },
    );
  if (items.length > limits.messages) throw refused(`${items.length} items`, limits.messages);
  // It is read and rendered as if all of it had been sent.
  const length = items.reduce((sum, { json }) => sum + json.length, 0);
  if (length > limits.bodyBytes) throw refused(`${length} characters as JSON`, limits.bodyBytes);
  return items;
}

function itemsBefore(id: string, stored: StoredResponses, principal: Principal): StoredItem[] {
  const found = stored.find(principal, id);
  if (found !== null) return [...found.input, ...found.output];
  throw new ApiError(
    404,
    "previous_response_not_found",
    `Previous response with id '${id.slice(0, 80)}' not found. It never existed, was not stored or has been dropped since; send the whole conversation as input.`,
    { param: "previous_response_id" },
  );
}

function itemOf(item: InputItem, stored: StoredResponses, principal: Principal): StoredItem {
  if (isReference(item)) {
    const found = stored.item(principal, item.id);
    if (found !== null) return found;
    throw new ApiError(
      404,
      "item_not_found",
      `Item with id '${item.id.slice(0, 80)}' not found. Items are kept unless store is false, for a while; send the item itself instead of a reference.`,
      { param: "input" },
    );
  }
  // Ids of clients' own need not be unique: what a reference finds is what this server has named.
  const id = newId(PREFIXES[item.type ?? "message"]);
  return { id, json: JSON.stringify(asKept(item, id)) };
}

function isReference(item: InputItem): item is ItemReference {
  return item.type === "item_reference" || (item.type == null && !("role" in item));
}

/** An item as OpenAI lists it: with its type, its id and a list of parts. */
function asKept(item: Exclude<InputItem, ItemReference>, newName: string): object {
  const id = item.id ?? newName;
  const status = item.status ?? "completed";
  if (item.type === "function_call" || item.type === "function_call_output") return { ...item, id, status };
  if (item.type === "reasoning") {
    const { content } = item;
    return { type: item.type, id, status, summary: item.summary ?? [], ...(content && { content }) };
  }
  const type = item.role === "assistant" ? "output_text" : "input_text";
  const content = textsOf(item.content).map((text) => ({ type, text }));
  return { type: "message", id, status, role: item.role, content };
}

/** The texts of an item's parts. */
export function textsOf(content: InputParts): string[] {
  if (typeof content === "string") return [content];
  return content.map((part) => (part.type === "refusal" ? part.refusal : part.text));
}

/** Which messages of a conversation go when its oldest turns are dropped. */
import type { ChatMessage } from "./chat-template.js";

/** What can be dropped, oldest first: indices of messages that go together. */
export type Turns = readonly (readonly number[])[];

/**
 * The turns of a conversation that can be dropped, oldest first: what a user said with all that was answered to it, calls of
 * tools and their results with it, and what stands before the first of them. Never what the user said last, which is to be
 * answered, nor what has been answered to it so far.
 * @param keepSystem whether system messages stay, wherever they are
 */
export function droppableTurns(messages: readonly ChatMessage[], keepSystem: boolean): Turns {
  const turns: number[][] = [];
  for (const [i, { role }] of messages.entries()) {
    if (keepSystem && isSystem(role)) continue;
    // What the user said in several messages is one.
    const isBeginning = role === "user" && messages[i - 1]?.role !== "user";
    if (isBeginning || turns.length === 0) turns.push([]);
    turns.at(-1)!.push(i);
  }
  return turns.slice(0, -1);
}

/** The messages without the oldest `count` turns. */
export function withoutTurns(messages: readonly ChatMessage[], turns: Turns, count: number): ChatMessage[] {
  const dropped = new Set(turns.slice(0, count).flat());
  return messages.filter((_, i) => !dropped.has(i));
}

export function isSystem(role: ChatMessage["role"]): boolean {
  return role === "system" || role === "developer";
}

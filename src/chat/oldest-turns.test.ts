/** Which messages are a turn. */
import { expect, test } from "vitest";
import type { ChatMessage } from "./chat-template.js";
import { droppableTurns, withoutTurns } from "./oldest-turns.js";

const ROLES = { s: "system", d: "developer", u: "user", a: "assistant", t: "tool" } as const;
const conversation = (letters: string): ChatMessage[] =>
  [...letters].map((letter, i) => ({ role: ROLES[letter as keyof typeof ROLES], content: String(i) }));

test.each([
  ["u", false, []],
  ["suauau", false, ["s", "ua", "ua"]],
  ["suauau", true, ["ua", "ua"]],
  ["dsuau", false, ["ds", "ua"]],
  ["uasuau", true, ["ua", "ua"]],
  ["uasuau", false, ["uas", "ua"]],
  ["auau", false, ["a", "ua"]],
  ["uaau", false, ["uaa"]],
  ["uauu", false, ["ua"]],
  ["uauuau", false, ["ua", "uua"]],
  // What tools have said to the last question so far stays with it.
  ["uatauat", false, ["uata"]],
  ["suattattauuat", true, ["uattatta"]],
])("%s, its system message kept: %s", (letters, keepSystem, expected) => {
  const messages = conversation(letters);
  const turns = droppableTurns(messages, keepSystem);
  expect(turns.map((turn) => turn.map((i) => letters[i]).join(""))).toEqual(expected);
  for (let count = 0; count <= turns.length; count++) {
    const left = withoutTurns(messages, turns, count);
    expect(left.at(-1)).toBe(messages.at(-1));
    expect(left).toHaveLength(messages.length - expected.slice(0, count).join("").length);
    if (keepSystem) expect(left.filter(({ role }) => role === "system")).toHaveLength(1);
  }
});

/** What a decode step needs, shown from both sides (poison.ts). More lengths and places: test/exhaustive. */
import { testPoison } from "./poison.js";

testPoison({ lengths: [1, 16, 39], places: 8 });

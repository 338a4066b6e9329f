/** What a decode step needs, after more lengths, and more places of K and V than `npm test` has. */
import { testPoison } from "../conformance/poison.js";

testPoison({ lengths: [1, 15, 16, 17, 39], places: 25 });

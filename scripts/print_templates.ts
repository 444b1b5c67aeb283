/** @file Prints the chat templates that test/pure/text/real_templates.ts finds, for parity/real_templates.py. */
import { realTemplates } from "../test/pure/text/real_templates.js";

process.stdout.write(JSON.stringify(Object.fromEntries(await realTemplates())));

"""Parts of the TLPPO planner for BotEvade."""

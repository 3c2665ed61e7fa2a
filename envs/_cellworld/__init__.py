"""Parts of Cellworld BotEvade."""

"""The console: accounts, profiles and loops are set up here, by API."""

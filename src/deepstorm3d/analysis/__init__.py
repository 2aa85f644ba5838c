"""Questions asked of any list of localizations: matching, figures of merit, rendering, pictures; no network."""

"""The tables of studio.db, and how an older file becomes a newer one. Plain SQL; opens nothing."""

VERSION = 5

# UPGRADES[v] takes a file from version v to v + 1; version 0 is an empty file. Append; never edit a released step.
UPGRADES: tuple[str, ...] = (
    """
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        place INTEGER NOT NULL,        -- order in the queue, a replacement takes its predecessor's
        request TEXT NOT NULL,         -- GenerationRequest as JSON, resolved
        state TEXT NOT NULL,
        created REAL NOT NULL,         -- seconds since the epoch
        started REAL,
        ended REAL,
        message TEXT,
        field TEXT
    );
    CREATE INDEX jobs_by_state ON jobs (state, place);
    CREATE TABLE events (
        job TEXT NOT NULL,
        n INTEGER NOT NULL,            -- 1, 2, 3, ... within the job
        event TEXT NOT NULL,
        PRIMARY KEY (job, n)
    ) WITHOUT ROWID;
    CREATE TABLE images (
        id TEXT PRIMARY KEY,
        job TEXT NOT NULL,
        position INTEGER NOT NULL,     -- which image of the job
        seed INTEGER NOT NULL,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        created REAL NOT NULL,
        path TEXT NOT NULL,            -- below the outputs folder, with "/"
        sha256 TEXT NOT NULL,
        recipe TEXT NOT NULL
    );
    CREATE INDEX images_by_job ON images (job, position);
    CREATE INDEX images_by_time ON images (created);
    CREATE TABLE frames (
        job TEXT PRIMARY KEY,
        bytes INTEGER NOT NULL,        -- on disk, so that the oldest can go when there are too many
        ended REAL NOT NULL
    );
    """,
    "ALTER TABLE images ADD COLUMN favourite INTEGER NOT NULL DEFAULT 0",
    # not listed among the stopped runs: replaced in Live, gone on with, or discarded
    "ALTER TABLE jobs ADD COLUMN dismissed INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX images_by_pixels ON images (sha256)",
    # What the gallery finds pictures by (`core.gallery.described`); the archive fills it in where words IS NULL.
    """
    ALTER TABLE images ADD COLUMN location INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE images ADD COLUMN words TEXT;
    ALTER TABLE images ADD COLUMN model TEXT NOT NULL DEFAULT '';
    ALTER TABLE images ADD COLUMN title TEXT NOT NULL DEFAULT '';
    ALTER TABLE images ADD COLUMN task TEXT NOT NULL DEFAULT '';
    ALTER TABLE images ADD COLUMN sampler TEXT NOT NULL DEFAULT '';
    ALTER TABLE images ADD COLUMN loras TEXT NOT NULL DEFAULT '';
    ALTER TABLE images ADD COLUMN parent TEXT NOT NULL DEFAULT '';
    CREATE INDEX images_listed ON images (
        location, created, favourite, width, height, model, title, task, sampler, loras, words, id
    );
    CREATE INDEX images_by_path ON images (path, location);
    CREATE INDEX images_by_parent ON images (parent);
    """,
)

-- pg_dump --no-owner --inserts of a ledger as the first sttbatch with PostgreSQL left it.
CREATE FUNCTION public.carried_grows() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'a total of all time never falls'; END $$;
CREATE FUNCTION public.carried_stays() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'a total of all time never falls'; END $$;
CREATE FUNCTION public.ledger_now() RETURNS double precision
    LANGUAGE sql STABLE
    AS $$SELECT extract(epoch FROM clock_timestamp())::double precision$$;
CREATE FUNCTION public.local_day(at double precision) RETURNS text
    LANGUAGE sql STABLE
    AS $$SELECT to_char(to_timestamp(at), 'YYYY-MM-DD')$$;
CREATE FUNCTION public.matches(expression text, value text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $_$SELECT value ~ ('^(?:' || expression || ')$')$_$;
CREATE FUNCTION public.measurements_immutable() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'what was measured never changes'; END $$;
CREATE FUNCTION public.processing_jobs_claim() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'a claim has the next number and one holder'; END $$;
CREATE FUNCTION public.processing_jobs_payload() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'a job never changes after it was queued'; END $$;
CREATE FUNCTION public.processing_jobs_priority() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'priority changes only while a job is queued'; END $$;
CREATE FUNCTION public.processing_jobs_retry() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'that is no way to count retries'; END $$;
CREATE FUNCTION public.processing_jobs_status() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'a job cannot change its state that way'; END $$;
CREATE FUNCTION public.run_ends_immutable() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'what was measured never changes'; END $$;
CREATE FUNCTION public.runs_immutable() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'what was measured never changes'; END $$;
CREATE TABLE public.alerts (
    name text NOT NULL COLLATE pg_catalog."C",
    condition text NOT NULL COLLATE pg_catalog."C",
    fired_at double precision NOT NULL
);
CREATE TABLE public.cache_entries (
    key text NOT NULL COLLATE pg_catalog."C",
    value bytea NOT NULL,
    sha256 bytea NOT NULL,
    model text NOT NULL COLLATE pg_catalog."C",
    created_at double precision NOT NULL,
    expires_at double precision,
    access_count bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.carried (
    metric text NOT NULL COLLATE pg_catalog."C",
    label text NOT NULL COLLATE pg_catalog."C",
    bound double precision NOT NULL,
    count bigint NOT NULL,
    millionths bigint NOT NULL
);
CREATE TABLE public.chunk_tasks (
    chunk_key text NOT NULL COLLATE pg_catalog."C",
    task_id bigint,
    worker_id text NOT NULL COLLATE pg_catalog."C",
    engine text NOT NULL COLLATE pg_catalog."C",
    model text NOT NULL COLLATE pg_catalog."C",
    chunk_index bigint NOT NULL,
    status text NOT NULL COLLATE pg_catalog."C",
    retry_count bigint DEFAULT 0 NOT NULL,
    reserved_cost double precision DEFAULT 0 NOT NULL,
    quantity double precision DEFAULT 0 NOT NULL,
    started_at double precision NOT NULL,
    completed_at double precision,
    error_message text COLLATE pg_catalog."C",
    unit text DEFAULT 'audio_seconds'::text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT chunk_tasks_status_check CHECK ((status = ANY (ARRAY['PROCESSING'::text, 'COMPLETED'::text, 'FAILED'::text])))
);
CREATE TABLE public.cuts (
    file_sha256 text NOT NULL COLLATE pg_catalog."C",
    stream bigint NOT NULL,
    request_sha256 text NOT NULL COLLATE pg_catalog."C",
    start_pts bigint NOT NULL,
    end_pts bigint NOT NULL,
    start_overlap bigint NOT NULL,
    end_overlap bigint NOT NULL,
    start_s double precision NOT NULL,
    end_s double precision NOT NULL,
    anchors text NOT NULL COLLATE pg_catalog."C",
    chunk_key text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.entry_files (
    file_sha256 text NOT NULL COLLATE pg_catalog."C",
    key text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.files (
    path bytea NOT NULL,
    size_bytes bigint NOT NULL,
    mtime_ns bigint NOT NULL,
    ctime_ns bigint NOT NULL,
    inode bigint NOT NULL,
    indexed_at_ns bigint NOT NULL,
    sha256 text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.measurements (
    metric text NOT NULL COLLATE pg_catalog."C",
    at double precision NOT NULL,
    run bigint NOT NULL,
    number bigint NOT NULL,
    value double precision NOT NULL,
    label text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    subject text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.outputs (
    path bytea NOT NULL,
    source bytea NOT NULL,
    format text NOT NULL COLLATE pg_catalog."C",
    sha256 text NOT NULL COLLATE pg_catalog."C",
    made_from text COLLATE pg_catalog."C",
    file_state text COLLATE pg_catalog."C",
    audio_s double precision,
    host text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.processing_jobs (
    id text NOT NULL COLLATE pg_catalog."C",
    job_type text DEFAULT 'TRANSCRIPTION'::text NOT NULL COLLATE pg_catalog."C",
    file_sha256 text NOT NULL COLLATE pg_catalog."C",
    stream bigint NOT NULL,
    request_sha256 text NOT NULL COLLATE pg_catalog."C",
    payload text NOT NULL COLLATE pg_catalog."C",
    priority bigint DEFAULT 2 NOT NULL,
    status text DEFAULT 'QUEUED'::text NOT NULL COLLATE pg_catalog."C",
    retry_count bigint DEFAULT 0 NOT NULL,
    max_retries bigint DEFAULT 3 NOT NULL,
    claim_number bigint DEFAULT 0 NOT NULL,
    worker_id text COLLATE pg_catalog."C",
    created_at double precision NOT NULL,
    started_at double precision,
    completed_at double precision,
    error_message text COLLATE pg_catalog."C",
    CONSTRAINT processing_jobs_check CHECK (((retry_count >= 0) AND (retry_count <= max_retries))),
    CONSTRAINT processing_jobs_check1 CHECK (((status = 'PROCESSING'::text) = (worker_id IS NOT NULL))),
    CONSTRAINT processing_jobs_priority_check CHECK ((priority = ANY (ARRAY[(1)::bigint, (2)::bigint, (3)::bigint]))),
    CONSTRAINT processing_jobs_status_check CHECK ((status = ANY (ARRAY['QUEUED'::text, 'PROCESSING'::text, 'COMPLETED'::text, 'FAILED'::text, 'CANCELLED'::text])))
);
CREATE TABLE public.processing_tasks (
    id bigint NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    claim_number bigint NOT NULL,
    worker_id text NOT NULL COLLATE pg_catalog."C",
    status text DEFAULT 'PROCESSING'::text NOT NULL COLLATE pg_catalog."C",
    total_chunks bigint DEFAULT 0 NOT NULL,
    completed_chunks bigint DEFAULT 0 NOT NULL,
    started_at double precision NOT NULL,
    completed_at double precision,
    CONSTRAINT processing_tasks_status_check CHECK ((status = ANY (ARRAY['PROCESSING'::text, 'COMPLETED'::text, 'FAILED'::text, 'RELEASED'::text])))
);
ALTER TABLE public.processing_tasks ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.processing_tasks_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.rates (
    bucket text NOT NULL COLLATE pg_catalog."C",
    state bytea NOT NULL
);
CREATE TABLE public.replaced_requests (
    engine text NOT NULL COLLATE pg_catalog."C",
    model text NOT NULL COLLATE pg_catalog."C",
    error text NOT NULL COLLATE pg_catalog."C",
    count bigint NOT NULL,
    maybe_paid bigint NOT NULL,
    cost_micros bigint NOT NULL,
    paid_micros bigint NOT NULL
);
CREATE TABLE public.requests (
    id bigint NOT NULL,
    at double precision NOT NULL,
    chunk_key text NOT NULL COLLATE pg_catalog."C",
    engine text NOT NULL COLLATE pg_catalog."C",
    model text NOT NULL COLLATE pg_catalog."C",
    attempt bigint NOT NULL,
    status bigint,
    error text COLLATE pg_catalog."C",
    request_id text COLLATE pg_catalog."C",
    latency_s double precision NOT NULL,
    quantity double precision NOT NULL,
    sent_bytes bigint NOT NULL,
    cost double precision NOT NULL,
    maybe_paid bigint NOT NULL,
    unit text DEFAULT 'audio_seconds'::text NOT NULL COLLATE pg_catalog."C"
);
ALTER TABLE public.requests ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.requests_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.run_ends (
    run bigint NOT NULL,
    ended_at double precision NOT NULL,
    done bigint NOT NULL,
    cached bigint NOT NULL,
    failed bigint NOT NULL,
    remaining bigint NOT NULL,
    error text COLLATE pg_catalog."C"
);
ALTER TABLE public.run_ends ALTER COLUMN run ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.run_ends_run_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.runs (
    id bigint NOT NULL,
    begun_at double precision NOT NULL,
    engine text NOT NULL COLLATE pg_catalog."C",
    model text NOT NULL COLLATE pg_catalog."C",
    lanes bigint NOT NULL,
    rate_limit bigint
);
ALTER TABLE public.runs ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.runs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.schema_steps (
    history text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    applied_at double precision NOT NULL
);
CREATE TABLE public.workers (
    id text NOT NULL COLLATE pg_catalog."C",
    host text NOT NULL COLLATE pg_catalog."C",
    pid bigint NOT NULL,
    started_at double precision NOT NULL,
    heartbeat_at double precision NOT NULL
);
INSERT INTO public.cache_entries VALUES ('chunk:e682175fc2862fc193b425074047c19be559346c612bfb2e07582b1cd29094db', '\x7b226865617264223a7b2274657874223a22303030302030303031203030303220303030332030303034203030303520303030362030303037222c227365676d656e7473223a5b7b2274657874223a22303030302030303031203030303220303030332030303034203030303520303030362030303037222c2273746172745f73223a302e332c22656e645f73223a332e38382c22776f726473223a5b7b2274657874223a2230303030222c2273746172745f73223a302e332c22656e645f73223a302e36367d2c7b2274657874223a2230303031222c2273746172745f73223a302e37362c22656e645f73223a312e31327d2c7b2274657874223a2230303032222c2273746172745f73223a312e32322c22656e645f73223a312e35387d2c7b2274657874223a2230303033222c2273746172745f73223a312e36382c22656e645f73223a322e30347d2c7b2274657874223a2230303034222c2273746172745f73223a322e31342c22656e645f73223a322e357d2c7b2274657874223a2230303035222c2273746172745f73223a322e362c22656e645f73223a322e39367d2c7b2274657874223a2230303036222c2273746172745f73223a332e30362c22656e645f73223a332e34327d2c7b2274657874223a2230303037222c2273746172745f73223a332e35322c22656e645f73223a332e38387d5d2c22737065616b6572223a6e756c6c2c22756e6c696b656c79223a66616c73657d5d2c226c616e6775616765223a22656e227d2c2275706c6f61645f636f646563223a22666c6163222c22726573706f6e73655f666f726d6174223a22766572626f73655f6a736f6e227d', '\xc1c7eb7b242cbfe6b4f1528d9c158da4c4afe4aeaca587613de75d6b1851b061', 'openai/whisper-large-v3', 1795873317.648282, NULL, 0);
INSERT INTO public.cache_entries VALUES ('transcript:bd6c9b6e0c1ed4241ada01532e693cf6ecfa4fb0cb353ce9af0cadbfb3447734', '\x78017592e16a84301084ffdf5394fd1d8226ea595fe5384ad0ad8a69144db82be2bb37db8a2607151c04bf99ccaeaed0b859d97e341f0b54194f1868655aa75a840ad0008305db2f34d6bfbedd19d49d33033dafd09b069f5079cb62d56c2920a10034cd1156abbac306aa4fa517fc05adf31c8c834fae3b650c6a6fdb7c72aba6fd8c661ea7895cb7fb7659c1e2d37a4be2af377fa724824492642439494172a5c6671d79d491bc2c193cc6b9f96b1fa4fe674978516c2c2c90c6e8b538e2539e8a9815219b722102362f6356c66ce19bee5b143cc962360b59c1d32c60f318cd63f46c2bf8fbcb6445884a9e9cace4d9cb64d18e25cfcfc968c9f42d9709d5803354c669cdc019dd0fa8bff7ff60bbfc0082f6b72f', '\x2d2f088bd469259922d46dc8bfe34538e7fa15b0fb70f29e767e5548097ffbfc', 'openai/whisper-large-v3', 1795873317.86882, NULL, 0);
INSERT INTO public.carried VALUES ('runs_begun', '', 1e+308, 0, 0);
INSERT INTO public.chunk_tasks VALUES ('chunk:e682175fc2862fc193b425074047c19be559346c612bfb2e07582b1cd29094db', 1, '4711-c20621973359', 'cloudru', 'openai/whisper-large-v3', 0, 'COMPLETED', 0, 0, 4, 1795873317.314832, 1795873317.650344, NULL, 'audio_seconds');
INSERT INTO public.cuts VALUES ('d57ab5cda148bc67dd3459770507a16f01848e6c46004cec155d184aaf7b08d9', 0, '58de57253077ffbf9cd99f3e1486380ae097e88c86912bbf3475d6d06418e32f', 0, 32000, 0, 0, 0, 4, '[[0.0,0.0]]', 'chunk:e682175fc2862fc193b425074047c19be559346c612bfb2e07582b1cd29094db');
INSERT INTO public.entry_files VALUES ('d57ab5cda148bc67dd3459770507a16f01848e6c46004cec155d184aaf7b08d9', 'chunk:e682175fc2862fc193b425074047c19be559346c612bfb2e07582b1cd29094db');
INSERT INTO public.entry_files VALUES ('d57ab5cda148bc67dd3459770507a16f01848e6c46004cec155d184aaf7b08d9', 'transcript:bd6c9b6e0c1ed4241ada01532e693cf6ecfa4fb0cb353ce9af0cadbfb3447734');
INSERT INTO public.files VALUES ('\x2f74616c6b732f74616c6b2e776176', 64078, 1795873312209986000, 1795873312209986000, 3631306, 1795873317002526138, 'd57ab5cda148bc67dd3459770507a16f01848e6c46004cec155d184aaf7b08d9');
INSERT INTO public.measurements VALUES ('preparation_seconds', 1795873317.2517467, 1, 1, 0.08807199899456464, '', '');
INSERT INTO public.measurements VALUES ('request_seconds', 1795873317.6282406, 1, 2, 0.3017534969985718, 'ok', '1#0');
INSERT INTO public.measurements VALUES ('rate_wait_seconds', 1795873317.6282406, 1, 2, 0.00390056300238939, '', '');
INSERT INTO public.measurements VALUES ('request_audio_seconds', 1795873317.6282406, 1, 2, 4, 'ok', '');
INSERT INTO public.measurements VALUES ('upload_bytes', 1795873317.6282406, 1, 2, 32551, '', '');
INSERT INTO public.measurements VALUES ('queue_wait_seconds', 1795873317.6282406, 1, 2, 1.8777995137497783e-05, '', '');
INSERT INTO public.measurements VALUES ('cache_lookups', 1795873317.9963064, 1, 3, 2, 'miss', '');
INSERT INTO public.measurements VALUES ('recordings', 1795873317.9963064, 1, 4, 1, 'transcribed', '');
INSERT INTO public.measurements VALUES ('audio_seconds', 1795873317.9963064, 1, 5, 4, 'transcribed', '');
INSERT INTO public.measurements VALUES ('connections', 1795873317.9963064, 1, 6, 1, 'opened', '');
INSERT INTO public.outputs VALUES ('\x2f74616c6b732f74616c6b2e747874', '\x2f74616c6b732f74616c6b2e776176', 'txt', '9b4be0201aa77022725dd3e1e3d066afd83a253e13cbf59968daa756a39ff0a0', 'd150ca49e987df8147aa3ee38f7df0ce', '40 1795873317910845477 1795873317911648910 3632431', 4, 'here');
INSERT INTO public.outputs VALUES ('\x2f74616c6b732f74616c6b2e6a736f6e', '\x2f74616c6b732f74616c6b2e776176', 'json', '9baa026d0dbbe9bde505b9132097d0549e1181c61b3e803576ab115f0a2c81df', 'd150ca49e987df8147aa3ee38f7df0ce', '561 1795873317911648910 1795873317911648910 3632442', 4, 'here');
INSERT INTO public.processing_jobs VALUES ('2d6452fa-056f-475e-b6a7-6f423e7f2c30', 'TRANSCRIPTION', 'd57ab5cda148bc67dd3459770507a16f01848e6c46004cec155d184aaf7b08d9', 0, '58de57253077ffbf9cd99f3e1486380ae097e88c86912bbf3475d6d06418e32f', '{"audio_s": 4.0, "chunking": {"audio_stream": 0, "channels": "mix", "max_chunk_bytes": 25165824, "target_duration_s": 300.0, "upload_codec": "auto"}, "display_root": "/talks", "gap_repair": true, "gap_repair_share": 0.25, "outputs": {"directory": null, "formats": ["txt", "json"], "hallucinations": "drop", "max_line_width": 42, "max_lines": 2, "overwrite": false, "words": false}, "path": "/talks/talk.wav", "price_per_second": 0.01, "recording": "/talks/talk.wav", "request": {"engine": "cloudru", "language": null, "model": "openai/whisper-large-v3", "origin": "https://127.0.0.1:443", "prompt": null, "temperature": null}, "root": "/talks", "sha256": "d57ab5cda148bc67dd3459770507a16f01848e6c46004cec155d184aaf7b08d9", "vad": true, "version": 2}', 2, 'COMPLETED', 0, 3, 1, NULL, 1795873317.0397, 1795873317.116328, 1795873317.949532, NULL);
INSERT INTO public.processing_tasks VALUES (1, '2d6452fa-056f-475e-b6a7-6f423e7f2c30', 1, '4711-c20621973359', 'COMPLETED', 1, 1, 1795873317.120119, 1795873317.949059);
INSERT INTO public.rates VALUES ('https://127.0.0.1:443', '\x7b226e6578745f6174223a313739353837333331372e343239333630322c22617564696f5f6e6578745f6174223a302e302c226e6f745f6265666f7265223a302e302c2273656e6473223a5b5d7d');
INSERT INTO public.requests VALUES (1, 1795873317.3262718, 'chunk:e682175fc2862fc193b425074047c19be559346c612bfb2e07582b1cd29094db', 'cloudru', 'openai/whisper-large-v3', 1, 200, NULL, NULL, 0.3017534969985718, 4, 32551, 0.04, 0, 'audio_seconds');
INSERT INTO public.run_ends VALUES (1, 1795873317.9963064, 1, 0, 0, 0, NULL);
INSERT INTO public.runs VALUES (1, 1795873316.0182078, 'cloudru', 'openai/whisper-large-v3', 4, 600);
INSERT INTO public.schema_steps VALUES ('sttbatch.ledger', '0001_results', 1795873315.813355);
INSERT INTO public.schema_steps VALUES ('sttbatch.ledger', '0002_recordings', 1795873315.835518);
INSERT INTO public.schema_steps VALUES ('sttbatch.ledger', '0003_levels', 1795873315.852295);
INSERT INTO public.schema_steps VALUES ('sttbatch.ledger', '0004_queue', 1795873315.923614);
INSERT INTO public.schema_steps VALUES ('sttbatch.ledger', '0005_latencies', 1795873315.927109);
INSERT INTO public.schema_steps VALUES ('sttbatch.ledger', '0006_alerts', 1795873315.939709);
INSERT INTO public.schema_steps VALUES ('sttbatch.ledger', '0007_units', 1795873315.943562);
INSERT INTO public.schema_steps VALUES ('sttbatch.ledger', '0008_replaced', 1795873315.952861);
INSERT INTO public.schema_steps VALUES ('sttbatch.ledger', '0009_unread', 1795873315.957218);
INSERT INTO public.schema_steps VALUES ('sttbatch.ledger', '0011_output_hosts', 1795873315.961523);
INSERT INTO public.schema_steps VALUES ('sttbatch.metrics', '0001_measurements', 1795873316.111542);
INSERT INTO public.schema_steps VALUES ('sttbatch.metrics', '0002_carried', 1795873316.124345);
INSERT INTO public.schema_steps VALUES ('sttbatch.metrics', '0003_unread', 1795873316.131663);
INSERT INTO public.schema_steps VALUES ('sttbatch.metrics', '0004_unread', 1795873316.13624);
INSERT INTO public.schema_steps VALUES ('sttbatch.rates', '0001_rates', 1795873317.070893);
SELECT pg_catalog.setval('public.processing_tasks_id_seq', 1, true);
SELECT pg_catalog.setval('public.requests_id_seq', 1, true);
SELECT pg_catalog.setval('public.run_ends_run_seq', 1, false);
SELECT pg_catalog.setval('public.runs_id_seq', 1, true);
ALTER TABLE ONLY public.alerts
    ADD CONSTRAINT alerts_pkey PRIMARY KEY (name, condition);
ALTER TABLE ONLY public.cache_entries
    ADD CONSTRAINT cache_entries_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.carried
    ADD CONSTRAINT carried_pkey PRIMARY KEY (metric, label, bound);
ALTER TABLE ONLY public.chunk_tasks
    ADD CONSTRAINT chunk_tasks_pkey PRIMARY KEY (chunk_key);
ALTER TABLE ONLY public.cuts
    ADD CONSTRAINT cuts_pkey PRIMARY KEY (file_sha256, stream, request_sha256, start_pts, end_pts);
ALTER TABLE ONLY public.entry_files
    ADD CONSTRAINT entry_files_pkey PRIMARY KEY (file_sha256, key);
ALTER TABLE ONLY public.files
    ADD CONSTRAINT files_pkey PRIMARY KEY (path);
ALTER TABLE ONLY public.measurements
    ADD CONSTRAINT measurements_pkey PRIMARY KEY (metric, at, run, number);
ALTER TABLE ONLY public.outputs
    ADD CONSTRAINT outputs_pkey PRIMARY KEY (path);
ALTER TABLE ONLY public.processing_jobs
    ADD CONSTRAINT processing_jobs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.processing_tasks
    ADD CONSTRAINT processing_tasks_job_id_claim_number_key UNIQUE (job_id, claim_number);
ALTER TABLE ONLY public.processing_tasks
    ADD CONSTRAINT processing_tasks_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.rates
    ADD CONSTRAINT rates_pkey PRIMARY KEY (bucket);
ALTER TABLE ONLY public.replaced_requests
    ADD CONSTRAINT replaced_requests_pkey PRIMARY KEY (engine, model, error);
ALTER TABLE ONLY public.requests
    ADD CONSTRAINT requests_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.run_ends
    ADD CONSTRAINT run_ends_pkey PRIMARY KEY (run);
ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.schema_steps
    ADD CONSTRAINT schema_steps_pkey PRIMARY KEY (history, name);
ALTER TABLE ONLY public.workers
    ADD CONSTRAINT workers_pkey PRIMARY KEY (id);
CREATE INDEX cache_entries_access_count ON public.cache_entries USING btree (access_count);
CREATE INDEX cache_entries_expires_at ON public.cache_entries USING btree (expires_at) WHERE (expires_at IS NOT NULL);
CREATE INDEX cache_entries_model ON public.cache_entries USING btree (model);
CREATE INDEX chunk_tasks_open ON public.chunk_tasks USING btree (status, worker_id, reserved_cost) WHERE (status = 'PROCESSING'::text);
CREATE INDEX chunk_tasks_task ON public.chunk_tasks USING btree (task_id);
CREATE INDEX cuts_chunk_key ON public.cuts USING btree (chunk_key);
CREATE INDEX entry_files_key ON public.entry_files USING btree (key);
CREATE INDEX outputs_source ON public.outputs USING btree (source);
CREATE UNIQUE INDEX processing_jobs_active ON public.processing_jobs USING btree (file_sha256, stream, request_sha256) WHERE (status = ANY (ARRAY['QUEUED'::text, 'PROCESSING'::text]));
CREATE INDEX processing_jobs_content ON public.processing_jobs USING btree (file_sha256, stream, request_sha256);
CREATE INDEX processing_jobs_created ON public.processing_jobs USING btree (created_at);
CREATE INDEX processing_jobs_ended ON public.processing_jobs USING btree (status, completed_at);
CREATE INDEX processing_jobs_queue ON public.processing_jobs USING btree (status, priority DESC, created_at);
CREATE INDEX processing_jobs_worker ON public.processing_jobs USING btree (worker_id) WHERE (worker_id IS NOT NULL);
CREATE INDEX processing_tasks_open ON public.processing_tasks USING btree (worker_id) WHERE (status = 'PROCESSING'::text);
CREATE INDEX requests_answered ON public.requests USING btree (engine, model, at) WHERE (error IS NULL);
CREATE INDEX requests_at ON public.requests USING btree (at, cost);
CREATE INDEX requests_chunk_key ON public.requests USING btree (chunk_key);
CREATE INDEX runs_begun_at ON public.runs USING btree (begun_at);
CREATE TRIGGER carried_grows BEFORE UPDATE ON public.carried FOR EACH ROW WHEN (((new.metric <> old.metric) OR (new.label <> old.label) OR (new.bound <> old.bound) OR (new.count < old.count) OR (new.millionths < old.millionths))) EXECUTE FUNCTION public.carried_grows();
CREATE TRIGGER carried_stays BEFORE DELETE ON public.carried FOR EACH ROW WHEN (true) EXECUTE FUNCTION public.carried_stays();
CREATE TRIGGER measurements_immutable BEFORE UPDATE ON public.measurements FOR EACH ROW WHEN (true) EXECUTE FUNCTION public.measurements_immutable();
CREATE TRIGGER processing_jobs_claim BEFORE UPDATE ON public.processing_jobs FOR EACH ROW WHEN (((new.claim_number <> (old.claim_number +
        CASE
            WHEN ((old.status = 'QUEUED'::text) AND (new.status = 'PROCESSING'::text)) THEN 1
            ELSE 0
        END)) OR ((new.status = old.status) AND (new.worker_id IS DISTINCT FROM old.worker_id)))) EXECUTE FUNCTION public.processing_jobs_claim();
CREATE TRIGGER processing_jobs_payload BEFORE UPDATE ON public.processing_jobs FOR EACH ROW WHEN (((new.payload <> old.payload) OR (new.file_sha256 <> old.file_sha256) OR (new.request_sha256 <> old.request_sha256) OR (new.stream <> old.stream) OR (new.id <> old.id) OR (new.job_type <> old.job_type) OR (new.max_retries <> old.max_retries) OR (new.created_at <> old.created_at))) EXECUTE FUNCTION public.processing_jobs_payload();
CREATE TRIGGER processing_jobs_priority BEFORE UPDATE OF priority ON public.processing_jobs FOR EACH ROW WHEN (((new.priority <> old.priority) AND (old.status <> 'QUEUED'::text))) EXECUTE FUNCTION public.processing_jobs_priority();
CREATE TRIGGER processing_jobs_retry BEFORE UPDATE ON public.processing_jobs FOR EACH ROW WHEN ((new.retry_count <>
        CASE
            WHEN ((old.status = 'FAILED'::text) AND (new.status = 'QUEUED'::text)) THEN
            CASE
                WHEN (old.retry_count < old.max_retries) THEN (old.retry_count + 1)
                ELSE (0)::bigint
            END
            WHEN ((old.status = 'PROCESSING'::text) AND (new.status = 'QUEUED'::text)) THEN (old.retry_count +
            CASE
                WHEN (new.retry_count > old.retry_count) THEN 1
                ELSE 0
            END)
            ELSE old.retry_count
        END)) EXECUTE FUNCTION public.processing_jobs_retry();
CREATE TRIGGER processing_jobs_status BEFORE UPDATE OF status ON public.processing_jobs FOR EACH ROW WHEN ((NOT (((old.status = 'QUEUED'::text) AND (new.status = ANY (ARRAY['PROCESSING'::text, 'CANCELLED'::text]))) OR ((old.status = 'PROCESSING'::text) AND (new.status = ANY (ARRAY['COMPLETED'::text, 'FAILED'::text, 'CANCELLED'::text, 'QUEUED'::text]))) OR ((old.status = ANY (ARRAY['FAILED'::text, 'CANCELLED'::text])) AND (new.status = 'QUEUED'::text))))) EXECUTE FUNCTION public.processing_jobs_status();
CREATE TRIGGER run_ends_immutable BEFORE UPDATE ON public.run_ends FOR EACH ROW WHEN (true) EXECUTE FUNCTION public.run_ends_immutable();
CREATE TRIGGER runs_immutable BEFORE UPDATE ON public.runs FOR EACH ROW WHEN (true) EXECUTE FUNCTION public.runs_immutable();
ALTER TABLE ONLY public.chunk_tasks
    ADD CONSTRAINT chunk_tasks_task_id_fkey FOREIGN KEY (task_id) REFERENCES public.processing_tasks(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.entry_files
    ADD CONSTRAINT entry_files_key_fkey FOREIGN KEY (key) REFERENCES public.cache_entries(key) ON DELETE CASCADE;
ALTER TABLE ONLY public.processing_tasks
    ADD CONSTRAINT processing_tasks_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.processing_jobs(id) ON DELETE CASCADE;

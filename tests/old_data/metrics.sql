BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'sttbatch.metrics','0001_measurements','2026-11-27 22:03:35.819671+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'sttbatch.metrics','0002_carried','2026-11-27 22:03:35.829354+00:00');
CREATE TABLE carried (
                metric TEXT NOT NULL,
                label TEXT NOT NULL,
                bound REAL NOT NULL,
                count INTEGER NOT NULL,
                millionths INTEGER NOT NULL,
                PRIMARY KEY (metric, label, bound)
            ) STRICT, WITHOUT ROWID;
INSERT INTO "carried" VALUES('runs_begun','',9e999,0,0);
CREATE TABLE measurements (
                metric TEXT NOT NULL,
                at REAL NOT NULL,
                run INTEGER NOT NULL,
                number INTEGER NOT NULL,
                value REAL NOT NULL,
                label TEXT NOT NULL DEFAULT '',
                subject TEXT NOT NULL DEFAULT '',
                PRIMARY KEY (metric, at, run, number)
            ) STRICT, WITHOUT ROWID;
INSERT INTO "measurements" VALUES('audio_seconds',1.70411038652467751505e+09,1,9,8.053875,'transcribed','');
INSERT INTO "measurements" VALUES('audio_seconds',1704110386.84754,1,15,16.0,'transcribed','');
INSERT INTO "measurements" VALUES('audio_seconds',1.70411039083589601521e+09,4,3,2.40538749999999978967e+01,'cached','');
INSERT INTO "measurements" VALUES('audio_seconds',1.70411039225264072417e+09,5,7,2.4,'transcribed','');
INSERT INTO "measurements" VALUES('audit_asked_seconds',1704110386.84754,1,13,3.22,'','');
INSERT INTO "measurements" VALUES('audit_gaps',1704110386.84754,1,12,1.0,'filled','');
INSERT INTO "measurements" VALUES('cache_lookups',1.70411038652467751505e+09,1,7,6.0,'miss','');
INSERT INTO "measurements" VALUES('cache_lookups',1704110386.84754,1,11,1.0,'miss','');
INSERT INTO "measurements" VALUES('cache_lookups',1.70411038925725626946e+09,2,1,3.0,'L3','');
INSERT INTO "measurements" VALUES('cache_lookups',1.70411038955866122246e+09,3,1,3.0,'L3','');
INSERT INTO "measurements" VALUES('cache_lookups',1.70411039083589601521e+09,4,1,3.0,'L3','');
INSERT INTO "measurements" VALUES('cache_lookups',1.70411039225264072417e+09,5,5,3.0,'miss','');
INSERT INTO "measurements" VALUES('cache_lookups',1.70411039343189334863e+09,6,3,3.0,'miss','');
INSERT INTO "measurements" VALUES('cache_lookups',1.70411039448109745981e+09,7,3,4.0,'miss','');
INSERT INTO "measurements" VALUES('cache_lookups',1.70411039662043881418e+09,8,4,4.0,'miss','');
INSERT INTO "measurements" VALUES('cache_lookups',1.70411040030251312252e+09,9,3,2.0,'miss','');
INSERT INTO "measurements" VALUES('connections',1704110386.84754,1,16,3.0,'opened','');
INSERT INTO "measurements" VALUES('connections',1704110386.84754,1,17,1.0,'reused','');
INSERT INTO "measurements" VALUES('connections',1.70411039225264072417e+09,5,8,2.0,'opened','');
INSERT INTO "measurements" VALUES('connections',1.70411039343189334863e+09,6,5,1.0,'opened','');
INSERT INTO "measurements" VALUES('connections',1.70411040030251312252e+09,9,4,1.0,'opened','');
INSERT INTO "measurements" VALUES('preparation_seconds',1.70411038559571576117e+09,1,1,1.29567639999095263192e-02,'','');
INSERT INTO "measurements" VALUES('preparation_seconds',1.70411038562158942228e+09,1,2,0.0417503610001404,'','');
INSERT INTO "measurements" VALUES('preparation_seconds',1.70411038577980923657e+09,1,3,1.60219776000076308264e-01,'','');
INSERT INTO "measurements" VALUES('preparation_seconds',1.70411039166540408127e+09,5,1,2.43673029999627033248e-02,'','');
INSERT INTO "measurements" VALUES('preparation_seconds',1.70411039169264054296e+09,5,2,2.71234470001218141987e-02,'','');
INSERT INTO "measurements" VALUES('preparation_seconds',1.70411039314718222616e+09,6,1,1.62733409999873401829e-02,'','');
INSERT INTO "measurements" VALUES('preparation_seconds',1.70411039437498641009e+09,7,1,8.4240719997978885658e-03,'','');
INSERT INTO "measurements" VALUES('preparation_seconds',1.70411039438929796212e+09,7,2,1.93128949999845644924e-02,'','');
INSERT INTO "measurements" VALUES('preparation_seconds',1.70411039574391412736e+09,8,1,7.04754880000564298825e-02,'','');
INSERT INTO "measurements" VALUES('preparation_seconds',1.70411039586018490791e+09,8,2,1.16142807999949582153e-01,'','');
INSERT INTO "measurements" VALUES('preparation_seconds',1.70411039591269350057e+09,8,3,0.0523850179999954,'','');
INSERT INTO "measurements" VALUES('preparation_seconds',1.70411040002678918839e+09,9,1,7.84234800016747612971e-03,'','');
INSERT INTO "measurements" VALUES('queue_wait_seconds',1704110385.87747,1,4,1.17980000595707679167e-05,'','');
INSERT INTO "measurements" VALUES('queue_wait_seconds',1.70411038593326687813e+09,1,5,9.58400005401927e-06,'','');
INSERT INTO "measurements" VALUES('queue_wait_seconds',1.70411038606882929806e+09,1,6,1.15269999696465674787e-05,'','');
INSERT INTO "measurements" VALUES('queue_wait_seconds',1.70411038662988901138e+09,1,10,9.92500008578645e-06,'','');
INSERT INTO "measurements" VALUES('queue_wait_seconds',1.70411039182645511632e+09,5,3,1.63540000812645303085e-05,'','');
INSERT INTO "measurements" VALUES('queue_wait_seconds',1704110391.82985,5,4,1.67449998116353526711e-05,'','');
INSERT INTO "measurements" VALUES('queue_wait_seconds',1.70411039330096173282e+09,6,2,1.43209999805549159646e-05,'','');
INSERT INTO "measurements" VALUES('queue_wait_seconds',1.70411039842137718202e+09,8,5,1.32599998323712497949e-05,'','');
INSERT INTO "measurements" VALUES('queue_wait_seconds',1.70411040024670457841e+09,9,2,1.65250000918604200705e-05,'','');
INSERT INTO "measurements" VALUES('rate_wait_seconds',1704110385.87747,1,4,2.57367300014266220387e-03,'','');
INSERT INTO "measurements" VALUES('rate_wait_seconds',1.70411038593326687813e+09,1,5,1.74671839999973599333e-02,'','');
INSERT INTO "measurements" VALUES('rate_wait_seconds',1.70411038606882929806e+09,1,6,4.71229999902789131738e-04,'','');
INSERT INTO "measurements" VALUES('rate_wait_seconds',1.70411038662988901138e+09,1,10,0.000803983999958291,'','');
INSERT INTO "measurements" VALUES('rate_wait_seconds',1.70411039182645511632e+09,5,3,1.94977599994672345928e-03,'','');
INSERT INTO "measurements" VALUES('rate_wait_seconds',1704110391.82985,5,4,8.609679998698993586e-04,'','');
INSERT INTO "measurements" VALUES('rate_wait_seconds',1.70411039330096173282e+09,6,2,3.09585800005152123048e-03,'','');
INSERT INTO "measurements" VALUES('rate_wait_seconds',1.70411039842137718202e+09,8,5,2.27734700001747114583e-03,'','');
INSERT INTO "measurements" VALUES('rate_wait_seconds',1.70411040024670457841e+09,9,2,1.82032399993659055326e-03,'','');
INSERT INTO "measurements" VALUES('recordings',1.70411038652467751505e+09,1,8,2.0,'transcribed','');
INSERT INTO "measurements" VALUES('recordings',1704110386.84754,1,14,1.0,'transcribed','');
INSERT INTO "measurements" VALUES('recordings',1.70411038925725626946e+09,2,2,3.0,'unchanged','');
INSERT INTO "measurements" VALUES('recordings',1.70411038955866122246e+09,3,2,3.0,'unchanged','');
INSERT INTO "measurements" VALUES('recordings',1.70411039083589601521e+09,4,2,3.0,'cached','');
INSERT INTO "measurements" VALUES('recordings',1.70411039225264072417e+09,5,6,1.0,'transcribed','');
INSERT INTO "measurements" VALUES('recordings',1.70411039343189334863e+09,6,4,3.0,'failed','');
INSERT INTO "measurements" VALUES('request_audio_seconds',1704110385.87747,1,4,6.19200000000000372324e+00,'ok','');
INSERT INTO "measurements" VALUES('request_audio_seconds',1.70411038593326687813e+09,1,5,2.0,'ok','');
INSERT INTO "measurements" VALUES('request_audio_seconds',1.70411038606882929806e+09,1,6,1.59999999999997459814e+01,'ok','');
INSERT INTO "measurements" VALUES('request_audio_seconds',1.70411038662988901138e+09,1,10,3.22,'ok','');
INSERT INTO "measurements" VALUES('request_audio_seconds',1.70411039182645511632e+09,5,3,2.4,'ok','');
INSERT INTO "measurements" VALUES('request_audio_seconds',1704110391.82985,5,4,2.4,'ok','');
INSERT INTO "measurements" VALUES('request_audio_seconds',1.70411039330096173282e+09,6,2,3.00000000000000222044e+00,'400','');
INSERT INTO "measurements" VALUES('request_audio_seconds',1.70411039842137718202e+09,8,5,8.35349999999991,'ok','');
INSERT INTO "measurements" VALUES('request_audio_seconds',1.70411040024670457841e+09,9,2,4.00000000000000266453e+00,'ok','');
INSERT INTO "measurements" VALUES('request_seconds',1704110385.87747,1,4,2.38100923000047259847e-01,'ok','1#0');
INSERT INTO "measurements" VALUES('request_seconds',1.70411038593326687813e+09,1,5,1.00730444999953760998e-01,'ok','2#0');
INSERT INTO "measurements" VALUES('request_seconds',1.70411038606882929806e+09,1,6,3.93410014999972190707e-01,'ok','3#0');
INSERT INTO "measurements" VALUES('request_seconds',1.70411038662988901138e+09,1,10,1.89447189998190879123e-02,'ok','3#0');
INSERT INTO "measurements" VALUES('request_seconds',1.70411039182645511632e+09,5,3,1.10813372000166054931e-01,'ok','1#0');
INSERT INTO "measurements" VALUES('request_seconds',1704110391.82985,5,4,7.85632409999834635527e-02,'ok','1#1');
INSERT INTO "measurements" VALUES('request_seconds',1.70411039330096173282e+09,6,2,1.15998873999842544435e-01,'400','1#0');
INSERT INTO "measurements" VALUES('request_seconds',1.70411039842137718202e+09,8,5,2.64694734200020320713e+00,'ok','1#0');
INSERT INTO "measurements" VALUES('request_seconds',1.70411040024670457841e+09,9,2,1.80622990999836474657e-01,'ok','1#0');
INSERT INTO "measurements" VALUES('saved_cost',1.70411039083589601521e+09,4,5,0.24053875,'','');
INSERT INTO "measurements" VALUES('saved_seconds',1.70411039083589601521e+09,4,4,2.40538749999999978967e+01,'','');
INSERT INTO "measurements" VALUES('upload_bytes',1704110385.87747,1,4,13000.0,'','');
INSERT INTO "measurements" VALUES('upload_bytes',1.70411038593326687813e+09,1,5,15163.0,'','');
INSERT INTO "measurements" VALUES('upload_bytes',1.70411038606882929806e+09,1,6,16210.0,'','');
INSERT INTO "measurements" VALUES('upload_bytes',1.70411038662988901138e+09,1,10,44223.0,'','');
INSERT INTO "measurements" VALUES('upload_bytes',1.70411039182645511632e+09,5,3,15106.0,'','');
INSERT INTO "measurements" VALUES('upload_bytes',1704110391.82985,5,4,15118.0,'','');
INSERT INTO "measurements" VALUES('upload_bytes',1.70411039330096173282e+09,6,2,3881.0,'','');
INSERT INTO "measurements" VALUES('upload_bytes',1.70411039842137718202e+09,8,5,9567.0,'','');
INSERT INTO "measurements" VALUES('upload_bytes',1.70411040024670457841e+09,9,2,4965.0,'','');
CREATE TABLE run_ends (
                run INTEGER PRIMARY KEY,
                ended_at REAL NOT NULL,
                done INTEGER NOT NULL,
                cached INTEGER NOT NULL,
                failed INTEGER NOT NULL,
                remaining INTEGER NOT NULL,
                error TEXT
            ) STRICT;
INSERT INTO "run_ends" VALUES(1,1704110386.84754,3,0,0,0,NULL);
INSERT INTO "run_ends" VALUES(2,1.70411038925725626946e+09,3,3,0,0,NULL);
INSERT INTO "run_ends" VALUES(3,1.70411038955866122246e+09,3,3,0,0,NULL);
INSERT INTO "run_ends" VALUES(4,1.70411039083589601521e+09,3,3,0,0,NULL);
INSERT INTO "run_ends" VALUES(5,1.70411039225264072417e+09,1,0,0,0,NULL);
INSERT INTO "run_ends" VALUES(6,1.70411039343189334863e+09,0,0,3,0,NULL);
INSERT INTO "run_ends" VALUES(7,1.70411039448109745981e+09,0,0,0,2,'sending more would cost more than --max-cost 0.001 (0.00 are spent); run again to go on');
INSERT INTO "run_ends" VALUES(9,1.70411040030251312252e+09,0,0,0,1,'/home/data/ledger.db: database or disk is full. Is the disk full, or the file damaged? `sttbatch doctor` tells more; what came in is kept in /home/data/answers, and the next run stores it');
CREATE TABLE runs (
                id INTEGER PRIMARY KEY,
                begun_at REAL NOT NULL,
                engine TEXT NOT NULL,
                model TEXT NOT NULL,
                lanes INTEGER NOT NULL,
                rate_limit INTEGER,
                price_per_second REAL NOT NULL,
                summary TEXT NOT NULL
            ) STRICT;
INSERT INTO "runs" VALUES(1,1.70411038478832674021e+09,'cloudru','openai/whisper-large-v3',4,600,0.01,'3 recordings in talks');
INSERT INTO "runs" VALUES(2,1.70411038924158430097e+09,'cloudru','openai/whisper-large-v3',4,600,0.01,'3 recordings in talks');
INSERT INTO "runs" VALUES(3,1704110389.52494,'cloudru','openai/whisper-large-v3',4,600,0.01,'3 recordings in talks');
INSERT INTO "runs" VALUES(4,1.70411038981985449788e+09,'cloudru','openai/whisper-large-v3',4,600,0.01,'3 recordings in talks');
INSERT INTO "runs" VALUES(5,1.70411039110320758818e+09,'cloudru','openai/whisper-large-v3',4,600,0.01,'1 recording in calls');
INSERT INTO "runs" VALUES(6,1704110392.48886,'cloudru','openai/whisper-large-v3',4,600,0.01,'2 recordings in failed');
INSERT INTO "runs" VALUES(7,1.70411039377224659925e+09,'cloudru','openai/whisper-large-v3',4,600,0.01,'2 recordings in waiting');
INSERT INTO "runs" VALUES(8,1.70411039508909058571e+09,'cloudru','openai/whisper-large-v3',1,600,0.01,'1 recording in unfinished');
INSERT INTO "runs" VALUES(9,1.70411039917410278314e+09,'cloudru','openai/whisper-large-v3',4,600,0.01,'1 recording in spooled');
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX runs_begun_at ON runs (begun_at);
CREATE TRIGGER runs_immutable BEFORE UPDATE ON runs
                BEGIN SELECT RAISE(ABORT, 'what was measured never changes'); END;
CREATE TRIGGER run_ends_immutable BEFORE UPDATE ON run_ends
                BEGIN SELECT RAISE(ABORT, 'what was measured never changes'); END;
CREATE TRIGGER measurements_immutable BEFORE UPDATE ON measurements
                BEGIN SELECT RAISE(ABORT, 'what was measured never changes'); END;
CREATE TRIGGER carried_grows BEFORE UPDATE ON carried
               WHEN NEW.metric <> OLD.metric OR NEW.label <> OLD.label OR NEW.bound <> OLD.bound
                 OR NEW.count < OLD.count OR NEW.millionths < OLD.millionths
               BEGIN SELECT RAISE(ABORT, 'a total of all time never falls'); END;
CREATE TRIGGER carried_stays BEFORE DELETE ON carried
               BEGIN SELECT RAISE(ABORT, 'a total of all time never falls'); END;
COMMIT;

SELECT CAST(start_date - end_date AS INTEGER) AS d FROM s.t
;
SELECT CAST(date_diff('month', a, b) AS INTEGER) AS d FROM s.t
;
SELECT CAST(extract(dow FROM a) AS INTEGER) AS d FROM s.t
;
SELECT CAST(dayname(a) AS VARCHAR) AS d FROM s.t
;
SELECT a + INTERVAL 1 DAY AS d FROM s.t
;
SELECT CAST(CAST(a AS DOUBLE) AS VARCHAR) AS d FROM s.t
;
SELECT CAST(CAST(a AS DOUBLE) AS INTEGER) AS d FROM s.t
;
SELECT CAST(a AS HUGEINT) AS d FROM s.t
;
SELECT CAST(a AS TIME) AS d FROM s.t
;
SELECT CAST(a AS TIMESTAMPTZ) AS d FROM s.t
;
SELECT CAST(a AT TIME ZONE 'UTC' AS TIMESTAMP) AS d FROM s.t
;
SELECT CAST(log(a) AS DOUBLE) AS d FROM s.t
;
SELECT CAST(format('{}', a) AS VARCHAR) AS d FROM s.t
;
SELECT CAST(hash(a) AS BIGINT) AS d FROM s.t
;
SELECT CAST(substring(a, 0, 3) AS VARCHAR) AS d FROM s.t
;
SELECT CAST(regexp_replace(a, 'x', 'y') AS VARCHAR) AS d FROM s.t
;
SELECT CAST(regexp_replace(a, '(x)', '\1', 'g') AS VARCHAR) AS d FROM s.t
;
SELECT list(a ORDER BY a) AS d FROM s.t
;
SELECT array_agg(a) AS d FROM s.t
;
SELECT CAST(arg_max(a, b) AS INTEGER) AS d FROM s.t
;
SELECT CAST(try_cast(a AS INTEGER) AS INTEGER) AS d FROM s.t
;
SELECT a FROM s.t ASOF JOIN s.u ON t.a >= u.a
;
SELECT a FROM generate_series(1, 3) AS g(a)
;
SELECT a FROM s.t UNION BY NAME SELECT a FROM s.u
;
SELECT * REPLACE (a + 1 AS a) FROM s.t
;
SELECT * EXCLUDE (a) FROM s.t
;
SELECT COLUMNS('a.*') FROM s.t
;
PIVOT s.t ON a USING sum(b)
;
SELECT a + to_days(b) AS d FROM s.t
;
SELECT CAST(a + INTERVAL (b) DAY AS DATE) AS d FROM s.t
;
SELECT CAST(date_add(a, b) AS DATE) AS d FROM s.t
;
SELECT CAST(age(a) AS VARCHAR) AS d FROM s.t
;
SELECT CAST(week(a) AS INTEGER) AS d FROM s.t
;
SELECT CAST(epoch(a) AS BIGINT) AS d FROM s.t
;
SELECT CAST(isodow(a) AS BIGINT) AS d FROM s.t
;
SELECT CAST(try_strptime(a, '%Y') AS TIMESTAMP) AS d FROM s.t
;
SELECT CAST(regexp_full_match(a, 'x') AS BOOLEAN) AS d FROM s.t
;
SELECT CAST(md5_number(a) AS BIGINT) AS d FROM s.t
;
SELECT CAST(quantile_cont(a, 0.5) AS DOUBLE) AS d FROM s.t
;
SELECT CAST(first(a ORDER BY b) AS INTEGER) AS d FROM s.t
;
SELECT MAP {'a': 1} AS d FROM s.t
;
SELECT CAST(a->>'x' AS VARCHAR) AS d FROM s.t
;
SELECT [x + 1 for x in a] AS d FROM s.t
;
SELECT CAST(row_number() OVER () AS BIGINT) AS d FROM s.t
;
SELECT CAST(string_agg(a, ',') AS VARCHAR) AS d FROM s.t
;
SELECT CAST(a / b AS DOUBLE) AS d FROM s.t
;
SELECT a + 1 AS d FROM s.t
;
SELECT a FROM read_parquet('x')
;
SELECT a FROM t
;
DELETE FROM s.t
;
SELECT CAST(strptime(a, '%Y-%m-%dT%H') AS TIMESTAMP) AS d FROM s.t
;
SELECT a FROM s.t LIMIT 5
;
SELECT CAST(random() AS DOUBLE) AS d FROM s.t
;
SELECT CAST(now() AS TIMESTAMP) AS d FROM s.t
;
SELECT CAST(current_date AS DATE) AS d FROM s.t

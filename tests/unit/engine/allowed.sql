WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n+1 FROM r WHERE n < 5) SELECT CAST(n AS INTEGER) AS n FROM r
;
SELECT a FROM s.t SEMI JOIN s.u ON t.a=u.a
;
SELECT a FROM s.t ANTI JOIN s.u ON t.a=u.a
;
SELECT t.a, CAST(x.b AS BIGINT) AS b FROM s.t, LATERAL (SELECT t.a + 1 AS b) AS x
;
SELECT a FROM s.t QUALIFY row_number() OVER (PARTITION BY a ORDER BY b DESC NULLS LAST, c) = 1
;
SELECT DISTINCT ON (a) a, b FROM s.t ORDER BY a, b
;
SELECT a, CAST(count(*) FILTER (WHERE b > 1) AS BIGINT) AS n FROM s.t GROUP BY ALL
;
SELECT CAST(sum(x) OVER (PARTITION BY a ORDER BY b ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS s FROM s.t
;
SELECT CAST(last_value(x IGNORE NULLS) OVER (PARTITION BY a ORDER BY b) AS BIGINT) AS s FROM s.t
;
SELECT CAST(string_agg(x, ',' ORDER BY x) AS VARCHAR) AS s FROM s.t GROUP BY a
;
SELECT CAST(a // 5 AS INTEGER) AS a, CAST(a / nullif(b, 0) AS DOUBLE) AS d, CAST(a % 10 AS INTEGER) AS m FROM s.t
;
SELECT CAST(date_diff('day', a, b) AS INTEGER) AS d, CAST(a + 3 AS DATE) AS e, CAST(a + INTERVAL 60 DAY AS DATE) AS f, CAST(a + INTERVAL '1' MONTH AS DATE) AS g FROM s.t
;
SELECT CAST(date_trunc('month', a) AS DATE) AS d, CAST(extract(year FROM a) AS INTEGER) AS y, CAST(year(a) AS INTEGER) AS y2 FROM s.t
;
SELECT CAST(strptime(a, '%Y-%m-%d %H:%M:%S') AS TIMESTAMP) AS t, CAST(strftime(b, '%Y-%m-%d') AS VARCHAR) AS s FROM s.t
;
SELECT CAST(md5(a) AS VARCHAR) AS m, CAST(sha256(a) AS VARCHAR) AS h, CAST(regexp_matches(a, '^x') AS BOOLEAN) AS r, CAST(regexp_extract(a, '(x)', 1) AS VARCHAR) AS e, CAST(regexp_replace(a, 'x', 'y', 'g') AS VARCHAR) AS p, CAST(split_part(a, ' ', 1) AS VARCHAR) AS q FROM s.t
;
SELECT CAST(x.v AS INTEGER) AS v FROM s.t, unnest(generate_series(1, 3)) AS x(v)
;
SELECT CAST(unnest([1,2]) AS INTEGER) AS v FROM s.t
;
SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v(a, b)
;
SELECT CAST(CASE WHEN regexp_matches(a, '^[0-9]+$') THEN TRY_CAST(a AS DECIMAL(18, 2)) END AS DECIMAL(18,2)) AS d FROM s.t
;
SELECT CAST(substring(a, 1, 50) AS VARCHAR) AS s, CAST(left(a, 50) AS VARCHAR) AS l, CAST(lower(trim(a)) AS VARCHAR) AS q, CAST(round(x, 2) AS DECIMAL(18,2)) AS r FROM s.t
;
SELECT CAST(a IS DISTINCT FROM b AS BOOLEAN) AS c, CAST(coalesce(a, b) AS INTEGER) AS e, CAST(greatest(a,b) AS INTEGER) AS g, CAST(a IN (1,2) AS BOOLEAN) AS i FROM s.t WHERE EXISTS (SELECT 1 FROM s.u WHERE u.a = t.a) OR a IN (SELECT a FROM s.u)

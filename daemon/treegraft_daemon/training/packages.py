"""What the embedded law was made from: every package with version, licence and part, as `--pin` wrote it.

Parts: train; dev (weights are fitted on it); test (never read while training). Whole packages are held out.
"""

TABLE = """
stdlib python 3.11.7 train PSF-2.0
pip django 5.2.19 train BSD-3-Clause
pip sqlalchemy 2.1.9 train MIT
pip twisted 26.10.0 train MIT
pip sympy 1.14.0 train BSD License
pip mypy 2.4.1 train MIT
pip jedi 0.20.1 train MIT License
pip parso 0.8.7 train MIT License
pip ipython 9.18.1 train BSD-3-Clause
pip notebook 7.6.5 train BSD License
pip nbconvert 7.17.2 train BSD License
pip traitlets 5.16.1 train BSD License
pip dask 2026.8.0 train BSD-3-Clause
pip distributed 2026.8.0 train BSD-3-Clause
pip xarray 2026.9.0 train Apache-2.0
pip bokeh 3.9.2 train BSD-3-Clause
pip seaborn 0.13.2 train BSD License
pip statsmodels 0.15.0 train BSD-3-Clause
pip scikit-image 0.26.0 train BSD License
pip scikit-learn 1.9.1 train BSD-3-Clause
pip scipy 1.17.1 train BSD License
pip pandas 3.1.1 train BSD-3-Clause
pip matplotlib 3.11.2 train Python Software Foundation License
pip numpy 2.4.6 train BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0
pip nltk 3.10.4 train Apache Software License
pip celery 5.7.0 train BSD-3-Clause
pip kombu 5.7.0 train BSD-3-Clause
pip redis 8.1.0 train MIT
pip pymongo 4.20.1 train Apache-2.0
pip pymysql 1.2.4 train MIT
pip pydantic 2.14.4 train MIT
pip uvicorn 0.54.0 train BSD-3-Clause
pip gunicorn 27.0.1 train MIT
pip sanic 25.12.1 train MIT License
pip falcon 4.4.0 train Apache-2.0
pip djangorestframework 3.18.3 train BSD-3-Clause
pip poetry 2.5.1 train MIT
pip pip 26.3 train MIT
pip setuptools 84.2.1 train MIT
pip virtualenv 21.15.11 train MIT
pip tox 4.67.15 train MIT
pip sphinx 9.0.4 train BSD-2-Clause
pip mkdocs 1.6.1 train BSD-2-Clause
pip pygments 2.21.0 train BSD-2-Clause
pip babel 2.18.0 train BSD License
pip cryptography 50.0.2 train Apache-2.0 OR BSD-3-Clause
pip invoke 3.0.3 train BSD-2-Clause
pip trio 0.35.0 train MIT OR Apache-2.0
pip anyio 4.16.0 train MIT
pip coverage 7.17.4 train Apache-2.0
pip urllib3 2.8.0 train MIT
pip beautifulsoup4 4.15.0 train MIT License
pip html5lib 1.1 train MIT License
pip scrapy 2.19.0 train BSD-3-Clause
pip selenium 4.52.0 train Apache-2.0
pip pillow 13.0.0 train MIT-CMU
pip openpyxl 3.1.5 train MIT License
pip XlsxWriter 3.3.1 train BSD-2-Clause
pip pypdf 7.1.1 train BSD-3-Clause
pip marshmallow 4.4.0 train MIT
pip jsonschema 4.26.0 train MIT
pip tomlkit 0.15.2 train MIT
pip textual 8.2.8 train MIT License
pip typer 0.29.2 train MIT
pip prompt_toolkit 3.0.53 train BSD License
pip docker 7.2.0 train Apache-2.0
pip google-auth 2.63.0 train Apache Software License
pip google-cloud-storage 3.17.1 train Apache Software License
pip azure-core 1.41.0 train MIT
pip msal 1.39.0 train MIT License
pip openai 3.57.0 train Apache-2.0
pip keras 3.15.1 train Apache License 2.0
pip jax 0.10.2 train Apache-2.0
pip flax 0.12.8 train Apache Software License
pip datasets 5.2.0 train Apache Software License
pip huggingface_hub 2.4.0 train Apache Software License
pip accelerate 1.15.0 train Apache Software License
pip diffusers 0.42.1 train Apache Software License
pip transformers 5.24.0 train Apache 2.0 License
pip streamlit 1.67.0 train Apache-2.0
pip geopandas 1.2.0 train BSD-3-Clause
pip astropy 8.0.2 train BSD-3-Clause
pip pymc 5.28.5 train Apache Software License
pip mitmproxy 11.0.2 train MIT License
pip moto 5.2.5 train Apache-2.0
pip faker 40.63.0 train MIT License
pip responses 0.26.3 train Apache-2.0
pip arrow 1.4.0 train Apache Software License
pip structlog 26.1.0 train MIT OR Apache-2.0
pip loguru 0.7.3 train MIT License
pip sentry-sdk 2.75.0 train MIT
pip opentelemetry-sdk 1.45.2 train Apache-2.0
pip elasticsearch 9.5.1 train Apache-2.0
pip alembic 1.20.1 train MIT
pip wtforms 3.3.2 train BSD License
pip boto3 1.44.8 train Apache-2.0
pip botocore 1.44.8 train Apache-2.0
pip websockets 17.4 train BSD-3-Clause
pip h11 0.16.0 train MIT License
pip cython 3.3.1 train Apache-2.0
pip gymnasium 1.4.0 train MIT License
pip optuna 5.0.0 train MIT License
pip mlflow-skinny 3.17.2 train Apache Software License
pip psutil 7.2.2 train BSD-3-Clause
pip watchdog 7.1.0 train Apache-2.0
pip pre-commit 4.7.0 train MIT
pip pluggy 1.7.0 train MIT License
pip isort 9.0.2 train MIT
pip flake8 7.5.0 train MIT
pip yapf 0.43.0 train Apache Software License
pip libcst 1.9.0 train MIT License
pip pyparsing 3.3.3 train MIT
pip ply 3.11 train BSD
pip lark 1.3.1 train MIT License
pip markdown 3.11.3 train BSD-3-Clause
pip plotnine 0.15.9 train MIT License
pip altair 6.3.0 train BSD License
pip oauthlib 4.0.1 train BSD-3-Clause
pip authlib 1.9.10 train BSD License
pip pyjwt 2.15.1 train MIT
pip markupsafe 3.0.4 train BSD-3-Clause
pip dnspython 2.9.2 train ISC
pip aiokafka 0.14.0 train Apache-2.0
pip protobuf 7.36.2 train 3-Clause BSD License
pip aiofiles 25.1.0 train Apache Software License
pip asyncpg 0.32.0 train Apache-2.0
pip rq 3.0.0 train BSD-2-Clause
pip apscheduler 3.11.3 train MIT License
pip trimesh 5.2.0 train MIT License
pip librosa 0.11.0 train ISC License (ISCL)
pip pygls 2.1.1 train Apache-2.0
pip more-itertools 11.2.1 train MIT
pip toolz 1.2.0 train BSD-3-Clause
pip boltons 26.2.0 train BSD License
pip tornado 6.6.1 dev Apache Software License
pip requests 2.34.2 dev Apache Software License
pip starlette 1.10.0 dev BSD-3-Clause
pip fastapi 0.165.0 dev MIT
pip black 26.10.1 dev MIT
pip pytest 9.2.0 dev MIT
pip click 8.5.1 test BSD-3-Clause
pip flask 3.1.3 test BSD-3-Clause
pip jinja2 3.1.6 test BSD License
pip werkzeug 3.1.9 test BSD-3-Clause
pip rich 15.0.0 test MIT License
pip aiohttp 3.14.5 test Apache-2.0 AND MIT
pip httpx 0.28.1 test BSD License
pip attrs 26.1.0 test MIT
pip networkx 3.6.1 test BSD-3-Clause
npm react-dom 19.3.1 train MIT
npm vue 3.5.45 train MIT
npm webpack 5.112.2 train MIT
npm eslint 10.15.0 train MIT
npm @babel/core 8.1.3 train MIT
npm @babel/traverse 8.1.3 train MIT
npm @babel/types 8.1.3 train MIT
npm mongoose 9.12.1 train MIT
npm sequelize 6.37.8 train MIT
npm koa 3.3.0 dev MIT
npm fastify 5.12.8 train MIT
npm socket.io 4.8.4 train MIT
npm ws 8.23.0 train MIT
npm axios 1.21.1 dev MIT
npm got 16.1.0 train MIT
npm jsdom 31.0.1 train MIT
npm cheerio 1.2.0 dev MIT
npm ramda 0.32.0 train MIT
npm moment 2.31.0 train MIT
npm three 0.187.0 train MIT
npm pixi.js 8.22.0 train MIT
npm leaflet 1.9.4 train BSD-2-Clause
npm prosemirror-model 1.25.13 train MIT
npm prosemirror-view 1.42.9 train MIT
npm prosemirror-transform 1.12.6 train MIT
npm codemirror 6.0.2 train MIT
npm marked 18.2.1 train MIT
npm handlebars 4.7.10 train MIT
npm nunjucks 3.2.4 dev BSD-2-Clause
npm knex 3.3.0 dev MIT
npm pg 8.23.1 train MIT
npm mysql2 3.24.6 train MIT
npm ioredis 6.0.0 dev MIT
npm winston 3.19.0 train MIT
npm body-parser 2.4.0 train MIT
npm grunt 1.6.3 train MIT
npm gulp 5.0.1 train MIT
npm readable-stream 4.8.0 train MIT
npm immutable 5.2.1 train MIT
npm mobx 7.1.3 dev MIT
npm redux 5.0.1 train MIT
npm react-redux 9.3.1 train MIT
npm typeorm 1.1.1 train MIT
npm effect 4.1.0 train MIT
npm fp-ts 2.16.11 train MIT
npm io-ts 2.2.22 train MIT
npm ethers 6.17.0 train MIT
npm viem 2.57.20 train MIT
npm @tanstack/table-core 9.3.1 train MIT
npm @tanstack/router-core 1.171.39 train MIT
npm @tanstack/form-core 1.33.5 train MIT
npm react-hook-form 7.92.0 train MIT
npm native-base 3.4.28 train MIT
npm react-native-reanimated 4.8.0 train MIT
npm react-native-gesture-handler 3.5.0 train MIT
npm react-native-screens 4.30.1 dev MIT
npm react-native-svg 15.16.1 train MIT
npm @react-navigation/core 7.24.0 train MIT
npm @react-navigation/native 7.5.1 train MIT
npm @react-navigation/bottom-tabs 7.21.0 train MIT
npm @react-navigation/drawer 7.14.2 dev MIT
npm @shopify/flash-list 2.3.2 train MIT
npm @gorhom/bottom-sheet 5.2.14 train MIT
npm @rneui/base 5.0.0 train MIT
npm @rneui/themed 5.0.0 train MIT
npm react-native-calendars 1.1314.0 dev MIT
npm react-native-maps 1.29.11 train MIT
npm react-native-video 6.19.3 train MIT
npm react-native-webview 16.0.0 train MIT
npm react-native-device-info 15.0.2 train MIT
npm react-native-gifted-chat 3.4.0 train MIT
npm @react-native-firebase/firestore 26.4.0 train Apache-2.0
npm @react-native-firebase/messaging 26.4.0 train Apache-2.0
npm expo 58.0.0 train MIT
npm expo-camera 57.0.6 train MIT
npm expo-modules-core 58.0.7 train MIT
npm expo-notifications 58.0.2 train MIT
npm expo-file-system 58.0.2 train MIT
npm expo-router 58.0.6 train MIT
npm @nestjs/core 12.5.1 train MIT
npm graphql 17.1.0 train MIT
npm @apollo/client 4.3.8 train MIT
npm prettier 3.10.1 train MIT
npm stylelint 18.0.0 train MIT
npm postcss 8.5.33 train MIT
npm less 4.9.1 train Apache-2.0
npm mathjs 15.2.0 train Apache-2.0
npm d3-selection 3.0.1 train ISC
npm d3-shape 3.2.1 train ISC
npm d3-force 3.0.1 train ISC
npm d3-geo 3.1.2 train ISC
npm d3-hierarchy 3.1.3 train ISC
npm d3-transition 3.0.2 train ISC
npm chart.js 4.6.1 train MIT
npm echarts 6.1.0 train Apache-2.0
npm zrender 6.1.0 train BSD-3-Clause
npm cytoscape 3.34.4 train MIT
npm konva 10.9.1 train MIT
npm matter-js 0.20.0 train MIT
npm phaser 4.2.1 train MIT
npm pdfkit 0.20.2 train MIT
npm exceljs 4.4.0 train MIT
npm date-fns 4.4.0 train MIT
npm validator 13.15.35 train MIT
npm joi 18.3.2 train BSD-3-Clause
npm ajv 8.20.0 dev MIT
npm semver 7.8.6 train ISC
npm glob 14.0.6 train BlueOak-1.0.0
npm fs-extra 11.4.1 train MIT
npm chokidar 6.0.0 train MIT
npm nodemailer 10.6.1 train MIT-0
npm mongodb 7.9.0 train Apache-2.0
npm mocha-junit-reporter 2.2.1 train MIT
npm qunit 3.0.0 train MIT
npm karma 6.4.4 dev MIT
npm kafkajs 2.2.4 train MIT
npm mqtt 5.16.0 train MIT
npm bullmq 6.7.0 train MIT
npm inquirer 14.2.5 train MIT
npm blessed 0.1.81 train MIT
npm ink 8.0.0 train MIT
npm vuex 4.1.0 train MIT
npm svelte 5.57.3 train MIT
npm solid-js 1.9.19 train MIT
npm lit 3.3.3 train BSD-3-Clause
npm backbone 1.6.1 train MIT
npm jquery 4.0.0 train MIT
npm bootstrap 5.3.9 train MIT
npm video.js 8.24.1 train Apache-2.0
npm dexie 4.4.7 train Apache-2.0
npm xstate 5.33.3 train MIT
npm zustand 5.1.0 train MIT
npm slate 0.146.0 train MIT
npm yjs 13.6.33 train MIT
npm discord.js 14.28.1 train Apache-2.0
npm openai 7.57.0 train Apache-2.0
npm superagent 10.4.2 dev MIT
npm supertest 7.3.2 dev MIT
npm cookie 2.0.2 dev MIT
npm koa-router 14.0.0 dev MIT
npm ts-pattern 5.9.2 dev MIT
npm neverthrow 8.2.0 dev MIT
npm react-native-pager-view 10.0.0 dev MIT
npm react-native-share 12.3.1 dev MIT
npm lodash 4.18.1 test MIT
npm express 5.3.0 test MIT
npm commander 15.1.0 test MIT
npm chai 6.3.0 test MIT
npm mocha 12.0.3 test MIT
npm underscore 1.13.8 test MIT
npm d3-array 3.2.5 test ISC
npm d3-scale 4.0.3 test ISC
npm preact 11.2.0 test MIT
npm rxjs 7.8.2 test Apache-2.0
npm zod 4.6.7 test MIT
npm immer 11.2.10 test MIT
npm @reduxjs/toolkit 2.14.0 test MIT
npm @tanstack/query-core 5.108.0 test MIT
npm @tanstack/react-query 5.108.0 test MIT
npm react-native-paper 5.15.3 test MIT
npm @react-navigation/stack 7.12.1 test MIT
npm @react-navigation/elements 2.9.45 test MIT
npm cordova-android 15.1.0 test Apache-2.0
deb golang-1.19-src 1.19.8-2 train Go
deb golang-golang-x-net-dev 1:0.7.0+dfsg-1 train BSD-3-Clause
deb golang-golang-x-tools-dev 1:0.5.0+ds-1 train BSD-3-clause
deb golang-golang-x-crypto-dev 1:0.4.0-1 train BSD-3-Clause
deb golang-golang-x-sys-dev 0.3.0-1 train BSD-3-clause
deb golang-golang-x-image-dev 0.5.0-1 train BSD-3-clause
deb golang-google-grpc-dev 1.33.3-2 train Apache-2.0
deb golang-google-protobuf-dev 1.28.1-3 train BSD-3-clause
deb golang-google-cloud-dev 0.56.0-3 train Apache-2.0
deb golang-github-docker-docker-dev 20.10.24+dfsg1-1+deb12u1 train Apache-2.0
deb golang-github-containerd-containerd-dev 1.6.20~ds1-1+deb12u3 train Apache-2.0
deb golang-github-containers-image-dev 5.23.1-4 train Apache-2.0
deb golang-github-containers-storage-dev 1.43.0+ds1-8 train Apache-2.0
deb golang-etcd-server-dev 3.4.23-4 train Apache-2.0
deb golang-github-nats-io-nats-server-dev 2.9.10-1 train Apache-2.0
deb golang-github-rclone-rclone-dev 1.60.1+dfsg-2 train Expat
deb golang-gvisor-gvisor-dev 0.0~20221219.0-2 train Apache-2.0
deb golang-github-cilium-ebpf-dev 0.9.1-1 train Expat
deb golang-github-prometheus-alertmanager-dev 0.25.0-1 train Apache-2.0
deb golang-github-prometheus-client-golang-dev 1.14.0-3 train Apache-2.0
deb golang-github-gin-gonic-gin-dev 1.8.1-1 train Expat
deb golang-github-labstack-echo-dev 4.2.1-3 train Expat
deb golang-github-stretchr-testify-dev 1.8.1-1 train Expat
deb golang-github-urfave-cli-dev 1.22.9-2 train Expat
deb golang-github-urfave-cli-v2-dev 2.3.0-2 train Expat
deb golang-github-spf13-viper-dev 1.10.1-1 train Expat
deb golang-github-spf13-afero-dev 1.9.3-1 train Apache-2.0
deb golang-go.uber-zap-dev 1.23.0-1 train Expat
deb golang-github-dgraph-io-badger-dev 2.2007.2-3 train Apache-2.0
deb golang-github-gorilla-websocket-dev 1.5.0-2 train BSD-2-clause
deb golang-github-gorilla-handlers-dev 1.5.1-3 train BSD-2-clause
deb golang-github-go-chi-chi-dev 5.0.7-1 train Expat
deb golang-github-valyala-fasthttp-dev 1:1.31.0-4 train Expat
deb golang-github-victoriametrics-victoriametrics-dev 1.79.5+ds1-2 train Apache-2.0
deb golang-github-pelletier-go-toml.v2-dev 2.0.6-1 train Expat
deb golang-github-burntsushi-toml-dev 1.2.0-2 train Expat
deb golang-gopkg-yaml.v3-dev 3.0.1-3 train Apache-2.0
deb golang-github-miekg-dns-dev 1.1.50-2 train BSD-3-Clause
deb golang-github-osrg-gobgp-dev 3.10.0-1 train Apache-2.0
deb golang-github-evanw-esbuild-dev 0.17.0-1 train Expat
deb golang-entgo-ent-dev 0.11.3-4 train Apache-2.0
deb golang-gonum-v1-plot-dev 0.7.0-5 train BSD-3-clause
deb golang-github-go-git-go-git-dev 5.4.2-3 train Apache-2.0
deb golang-github-lucas-clemente-quic-go-dev 0.29.0-1 train Expat
deb golang-github-aws-aws-sdk-go-v2-dev 1.17.1-3 train Apache-2.0
deb golang-mongodb-mongo-driver-dev 1.8.4+ds1-3 train Apache-2.0
deb golang-github-jackc-pgx-v4-dev 4.15.0-4 train Expat
deb golang-github-lib-pq-dev 1.10.7-2 train Expat
deb golang-github-jmoiron-sqlx-dev 1.3.5-1 train Expat
deb golang-github-charmbracelet-bubbletea-dev 0.19.1-3 train Expat
deb golang-github-google-pprof-dev 0.0~git20211008.947d60d-1 train Apache-2.0
deb golang-github-google-go-cmp-dev 0.5.9-1 train BSD-3-clause
deb golang-github-yuin-goldmark-dev 1.5.4-1 train Expat
deb golang-github-shirou-gopsutil-dev 3.22.10-1 train BSD-3-clause
deb golang-github-vishvananda-netlink-dev 1.1.0.125.gf243826-4 train Apache-2.0
deb golang-github-opencontainers-runc-dev 1.1.5+ds1-1+deb12u1 train Apache-2.0
deb golang-honnef-go-tools-dev 2023.1-1 train Expat
deb golang-github-google-gopacket-dev 1.1.19-3 train BSD-3-Clause
deb golang-github-dop251-goja-dev 0.0~git20170430.0.d382686-2 train Expat
deb golang-github-influxdb-influxdb-dev 1.6.7~rc0-1 train Expat
deb golang-gocloud-dev 0.23.0-1 train Apache-2.0
deb golang-github-go-kit-kit-dev 0.10.0-1 train Expat
deb golang-github-golang-jwt-jwt-dev 4.4.3-1 train Expat
deb golang-github-julienschmidt-httprouter-dev 1.3.0-2 dev BSD-3-clause
deb golang-github-fsnotify-fsnotify-dev 1.6.0-2 dev BSD-3-clause
deb golang-github-google-btree-dev 1.0.0-1 dev Apache-2.0
deb golang-github-rs-zerolog-dev 1.26.1-2 dev Expat
deb golang-github-spf13-cobra-dev 1.6.1-1 test Apache-2.0
deb golang-github-spf13-pflag-dev 1.0.6~git20210604-d5e0c0615ace-1 test BSD-3-clause
deb golang-github-sirupsen-logrus-dev 1.9.0-1 test Expat
deb golang-github-gorilla-mux-dev 1.8.0-1 test BSD-3-clause
deb golang-github-google-uuid-dev 1.3.0-1 test BSD-3-clause~Google
deb golang-golang-x-text-dev 0.7.0-1 test BSD-3-Clause
deb rust-src 1.63.0+dfsg1-2 train Apache-2.0
deb librust-serde-dev 1.0.152-2 train MIT or Apache-2.0
deb librust-serde-json-dev 1.0.87-1 train MIT or Apache-2.0
deb librust-serde-derive-dev 1.0.152-1 train Expat or Apache-2.0
deb librust-tokio-dev 1.24.2-1 train MIT
deb librust-tokio-util-dev 0.7.3-2 train MIT
deb librust-hyper-dev 0.14.19-1 train MIT
deb librust-h2-dev 0.3.13-2 train MIT
deb librust-http-dev 0.2.7-1 train MIT or Apache-2.0
deb librust-tower-dev 0.4.13-2 train MIT
deb librust-rayon-dev 1.6.1-1 train Apache-2.0 or MIT
deb librust-crossbeam-channel-dev 0.5.6-1 train MIT or Apache-2.0
deb librust-crossbeam-epoch-dev 0.9.13-1 train MIT or Apache-2.0
deb librust-syn-dev 1.0.107-1 train Expat or Apache-2.0
deb librust-quote-dev 1.0.21-1 train MIT or Apache-2.0
deb librust-proc-macro2-dev 1.0.47-1 train MIT or Apache-2.0
deb librust-chrono-dev 0.4.23-2 train MIT or Apache-2.0
deb librust-image-dev 0.24.3-1 train MIT
deb librust-png-dev 0.17.7-2 train MIT or Apache-2.0
deb librust-gimli-dev 0.27.0-1 train Apache-2.0 or MIT
deb librust-object-dev 0.30.0-1 train Apache-2.0 or MIT
deb librust-goblin-dev 0.2.1-4 train MIT
deb librust-csv-dev 1.1.6-1 train Unlicense or MIT
deb librust-bstr-dev 0.2.17-1+b1 train MIT or Apache-2.0
deb librust-aho-corasick-dev 0.7.19-1 train Unlicense or MIT
deb librust-memchr-dev 2.5.0-1 train Unlicense or MIT
deb librust-fst-dev 0.3.5-1+b1 train Unlicense or MIT
deb librust-insta-dev 1.21.0-1 train Apache-2.0
deb librust-criterion-dev 0.3.6-4 train Apache-2.0 or Expat
deb librust-proptest-dev 1.0.0-1 train MIT or Apache-2.0
deb librust-rustls-dev 0.20.8-4 train Apache-2.0 or Expat or ISC
deb librust-openssl-dev 0.10.45-1 train Apache-2.0
deb librust-winit-dev 0.27.5-2 train Apache-2.0
deb librust-nix-dev 0.26.1-3 train MIT
deb librust-rustix-dev 0.35.12-1 train Apache-2.0 WITH LLVM-exception or Apache-2.0 or MIT
deb librust-mio-dev 0.8.4-1 train MIT
deb librust-async-std-dev 1.12.0-12 train Apache-2.0 or Expat
deb librust-futures-util-dev 0.3.21-1 train MIT or Apache-2.0
deb librust-hashbrown-dev 0.12.3-1 train MIT or Apache-2.0
deb librust-petgraph-dev 0.6.2-1 train MIT or Apache-2.0
deb librust-nom-dev 7.1.1-1 train MIT
deb librust-combine-dev 4.6.6-3 train MIT
deb librust-lalrpop-dev 0.19.8-4+b2 train Apache-2.0 or MIT
deb librust-toml-edit-dev 0.14.4-2 train MIT or Apache-2.0
deb librust-json-dev 0.12.4-1 train MIT or Apache-2.0
deb librust-quick-xml-dev 0.26.0-3 train Expat
deb librust-pulldown-cmark-dev 0.9.2-1+b2 train MIT
deb librust-tera-dev 1.17.1-1 train MIT
deb librust-reqwest-dev 0.11.13-1 train MIT or Apache-2.0
deb librust-ureq-dev 2.6.2-3 train Apache-2.0 or Expat
deb librust-url-dev 2.3.1-1 train MIT or Apache-2.0
deb librust-rusqlite-dev 0.28.0-4 train MIT
deb librust-git2-dev 0.16.0-1 train MIT or Apache-2.0
deb librust-bindgen-dev 0.60.1-2+b2 train BSD-3-Clause
deb librust-cxx-dev 1.0.87-1 train MIT or Apache-2.0
deb librust-pyo3-dev 0.17.3-1 train Apache-2.0
deb librust-wasm-bindgen-dev 0.2.83-1 train MIT or Apache-2.0
deb librust-plotters-dev 0.3.4-3 train MIT
deb librust-tui-dev 0.19.0-1 train MIT
deb librust-crossterm-dev 0.25.0-2 train MIT
deb librust-cursive-core-dev 0.3.5-1 train MIT
deb librust-alacritty-terminal-dev 0.17.0-1 train Apache-2.0
deb librust-syntect-dev 5.0.0-1 train MIT
deb librust-rav1e-dev 0.5.1-6 train BSD-2-clause
deb librust-tiny-skia-dev 0.8.3-1 train BSD-3-Clause
deb librust-ttf-parser-dev 0.15.2-1+b1 train Apache-2.0 or Expat
deb librust-tracing-subscriber-dev 0.3.16-2 train MIT
deb librust-log-dev 0.4.17-3 train MIT or Apache-2.0
deb librust-env-logger-dev 0.9.3-1 train MIT or Apache-2.0
deb librust-anyhow-dev 1.0.69-1 train MIT or Apache-2.0
deb librust-thiserror-dev 1.0.38-1 train MIT or Apache-2.0
deb librust-bytes-dev 1.2.1-1 train MIT
deb librust-smallvec-dev 1.9.0-1 train MIT or Apache-2.0
deb librust-num-bigint-dev 0.4.3-2 train MIT or Apache-2.0
deb librust-rust-decimal-dev 1.23.1-1 train MIT
deb librust-sysinfo-dev 0.26.7-2 train MIT
deb librust-walkdir-dev 2.3.2-1 train Unlicense or MIT
deb librust-ignore-dev 0.4.18-2+b1 train Unlicense or MIT
deb librust-flate2-dev 1.0.25-1 train MIT or Apache-2.0
deb librust-zip-dev 0.6.3-3 train MIT
deb librust-tar-dev 0.4.38-1 train MIT or Apache-2.0
deb librust-rkyv-dev 0.7.39-2 train MIT
deb librust-protobuf-dev 2.27.1-1 train MIT
deb librust-quinn-proto-dev 0.9.2-2 train MIT or Apache-2.0
deb librust-trust-dns-proto-dev 0.22.0-4 train MIT or Apache-2.0
deb librust-html5ever-dev 0.26.0-1 train MIT or Apache-2.0
deb librust-dashmap-dev 5.4.0-1 train MIT
deb librust-parking-lot-dev 0.12.1-1 train Apache-2.0 or MIT
deb librust-flume-dev 0.10.14-7 train Apache-2.0 or Expat
deb librust-clap-2-dev 2.34.0-3 train MIT
deb librust-bat-dev 0.22.1-4 train MIT or Apache-2.0
deb librust-cargo-dev 0.66.0-1 train MIT or Apache-2.0
deb librust-heck-dev 0.4.0-1 dev MIT or Apache-2.0
deb librust-textwrap-dev 0.16.0-2 dev MIT
deb librust-either-dev 1.6.1-1 dev MIT or Apache-2.0
deb librust-getopts-dev 0.2.21-4 dev MIT or Apache-2.0
deb librust-slotmap-dev 1.0.6-1+b1 dev Zlib
deb librust-indicatif-dev 0.17.3-2 dev MIT
deb librust-regex-dev 1.7.1-1 test MIT or Apache-2.0
deb librust-itertools-dev 0.10.3-1 test MIT or Apache-2.0
deb librust-rand-dev 0.8.5-1 test MIT or Apache-2.0
deb librust-indexmap-dev 1.9.2-1 test Apache-2.0 or MIT
deb librust-semver-dev 1.0.14-1 test MIT or Apache-2.0
deb librust-clap-dev 4.0.32-1 test MIT
src guava-libraries 31.1-1 train Apache-2.0
src commons-io 2.11.0-2 train Apache-2.0
src libcommons-collections4-java 4.2-1 train Apache-2.0
src libcommons-compress-java 1.22-1 train Apache-2.0
src httpcomponents-client 4.5.14-1 train Apache-2.0
src jackson-databind 2.14.0-1+deb12u1 train Apache-2.0
src jackson-core 2.14.1-2~deb12u1 train Apache-2.0
src netty 4.1.48-7+deb12u2 train Apache-2.0
src apache-log4j2 2.19.0-2 train Apache-2.0
src mockito 2.23.0-2 train MIT
src libspring-java 4.3.30-2 train Apache-2.0
src ant 1.10.13-1 train Apache-2.0
src maven 3.8.7-1 train Apache-2.0
src zookeeper 3.8.0-11+deb12u2 train Apache-2.0
src libokhttp-java 3.13.1-3 train Apache-2.0
src bouncycastle 1.72-2 train Expat
src antlr4 4.7.2-5 train BSD-3-clause
src jetty9 9.4.57-1.1~deb12u1 train Apache-2.0 or EPL-1.0
src libcommons-codec-java 1.15-1 train Apache-2.0
src libcommons-net-java 3.9.0-1 train Apache-2.0
src libpdfbox2-java 2.0.27-2 train Apache-2.0
src libapache-poi-java 4.0.1-4 train Apache-2.0
src error-prone-java 2.18.0-1 train Apache-2.0
src jsoup 1.15.3-1 dev MIT
src libcommons-lang3-java 3.12.0-2+deb12u1 test Apache-2.0
src zlib 1.2.13.dfsg-1 train Zlib
src curl 7.88.1-10+deb12u15 train curl
src redis 7.0.15-1~deb12u10 train BSD-3-clause
src lua5.4 5.4.4-3+deb12u1 train Expat
src libevent 2.1.12-stable-8+deb12u1 train BSD-3-clause
src libxml2 2.9.14+dfsg-1.3~deb12u6 train MIT-1
src libonig 6.9.8-1 train BSD-2-clause
src cmark 0.30.2-6 train BSD-2-clause
src jansson 2.14-2 train Expat
src json-c 0.16-2 train Expat
src libyaml 0.2.5-1 train Expat
src tmux 3.3a-3 train ISC
src openssh 9.2p1-2+deb12u10 train OpenSSH
src libdrm 2.4.114-1 train MIT
src tcl8.6 8.6.13+dfsg-2 train BSD
src nghttp2 1.52.0-1+deb12u3 train Expat
src apr 1.7.2-3+deb12u1 train Apache-2.0
src libarchive 3.6.2-1+deb12u5 train BSD-2-clause
src libwebp 1.2.4-0.2+deb12u1 train Apache 2
src tree-sitter 0.20.7-1 train Expat
src memcached 1.6.18-1+deb12u1 dev BSD-3-clause
src libxkbcommon 1.5.0-1 train MIT
src unbound 1.17.1-2+deb12u4 train BSD-3-NLnetLabs
src c-ares 1.18.1-3 train MIT
src lmdb 0.9.24-1 train OpenLDAP-2.8
src libwebsockets 4.1.6-3 train MIT
src libtomcrypt 1.18.2-6 train public-domain or WTFPL-2
src yajl 2.1.0-3+deb12u2 dev ISC
src hiredis 0.14.1-3 test BSD-3-Clause
src libuv1 1.44.2-1+deb12u1 test Expat
src abseil 20220623.1-1+deb12u2 train Apache-2.0
src googletest 1.12.1-0.2 train BSD-C3
src re2 20220601+dfsg-1 train BSD-3-google
src leveldb 1.23-4 dev BSD-3-clause
src snappy 1.1.9-3 train BSD-3-Clause
src spdlog 1.10.0+ds-0.4 train Expat
src pugixml 1.13-0.2 dev Expat
src tinyxml2 9.0.0+dfsg-3.1 train zlib/libpng
src yaml-cpp 0.7.0+dfsg-8 train X11
src rapidjson 1.1.0+dfsg2-7.1 train Expat
src libjsoncpp 1.9.5-4 train Expat_or_PublicDomain_or_DualExpatPD
src glm 0.9.9.8+ds-6 train Expat
src box2d 2.4.1-3 train Expat
src bullet 3.24+dfsg-2 train Zlib
src ninja-build 1.11.1-2~deb12u1 train Apache-2.0
src capnproto 0.9.2-2 train MIT
src flatbuffers 2.0.8+dfsg1-2 train Apache-2.0
src google-glog 0.6.0-2 train BSD-3-Clause
src double-conversion 3.2.1-1 train BSD-3-clause
src simdjson 3.0.1-1 train Apache-2.0
src harfbuzz 6.0.0+dfsg-3 train MIT
src pybind11 2.10.3-1 train BSD-3-Clause+CLA
src assimp 5.2.5~ds0-1 train BSD-3-clause
src benchmark 1.7.1-1 train Apache-2.0
src doctest 2.4.9~ds-1 train Expat
src cli11 2.1.2+ds-1 train BSD-3-clause
src highway 1.0.3-3+deb12u1 train Apache-2.0
src jpeg-xl 0.7.0-10+deb12u1 train BSD-3-clause-Google
src ms-gsl 4.0.0-2+deb12u1 dev Expat
src nlohmann-json3 3.11.2-2 test Expat
src fmtlib 9.1.0+ds1-2 test Expat with embedded exception
src catch2 2.13.10-1 test Boost-1.0
"""

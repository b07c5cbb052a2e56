# ruff: noqa: RUF001 - Russian texts
"""Talks about different things, and questions about them in other words."""

from __future__ import annotations

TALKS = {
    "lease.mp3": """
        Арендодатель согласен продлить договор ещё на одиннадцать месяцев.
        Он просит поднять плату на восемь процентов с первого января.
        Юрист советует прописать, кто чинит кондиционеры и лифт.
        Если мы съедем раньше, депозит останется у хозяина помещения.
        Подпись нужна до пятницы, иначе офис предложат другой фирме.""",
    "clinic.mp3": """
        Пациент жалуется на боль в колене после пробежки.
        Мы сделали снимок и не увидели перелома.
        Я назначил мазь, покой и эластичный бинт на две недели.
        При отёке надо приложить лёд и снова прийти к хирургу.
        Таблетки пейте после еды, не больше трёх в день.""",
    "garden.mp3": """
        Рассаду помидоров высаживают в теплицу, когда нет заморозков.
        Землю заранее рыхлят и добавляют перегной.
        Поливать лучше вечером тёплой водой под корень.
        Нижние листья обрывают, чтобы куст не болел.
        Огурцам нужна опора, иначе плети лягут на грядку.""",
    "network.mp3": """
        Ночью упал маршрутизатор, и весь третий этаж остался без связи.
        Дежурный перезагрузил коммутатор, но пакеты всё равно терялись.
        Оказалось, что истёк сертификат на сервере авторизации.
        Новый выпустили к утру и поставили напоминание за месяц.
        Резервный канал надо проверять каждую неделю.""",
    "school.mp3": """
        Родительское собрание начнём с оценок за четверть.
        Половина класса не сдала сочинение по Гоголю.
        Учительница математики предлагает дополнительные занятия по вторникам.
        Экскурсию в музей перенесли на март, сдайте по пятьсот рублей.
        Сменную обувь дети забывают почти каждый день.""",
    "bread.mp3": """
        Для опары смешайте муку, дрожжи и тёплое молоко.
        Оставьте миску под полотенцем на полтора часа.
        Тесто должно вырасти вдвое и перестать липнуть к рукам.
        Выпекайте сорок минут, пока корка не станет золотистой.
        Остывать буханка должна на решётке, завёрнутая в лён.""",
    "funding.mp3": """
        We closed the quarter with revenue slightly above the forecast.
        Two investors asked for the cap table and the churn figures.
        Hiring is frozen until the next round is signed.
        The board wants us to cut the marketing spend by a third.
        Our runway is fourteen months at the present burn rate.""",
    "volcano.mp3": """
        Magma rises through cracks because it is lighter than the rock around it.
        Gas bubbles expand near the surface and tear the melt apart.
        Ash from one eruption cooled the whole planet for two years.
        People in the valley had only minutes to leave their houses.
        Seismometers now listen for tremors day and night.""",
    "football.mp3": """
        The goalkeeper dropped the ball and their striker scored from two metres.
        Our captain was sent off before half time for a late tackle.
        With ten men we defended the corner kicks for an hour.
        The referee added six minutes and nobody knew why.
        A draw away from home keeps us third in the league.""",
    "bicycle.mp3": """
        Turn the frame upside down and take off the rear wheel.
        Check the tyre for glass before you put in a new tube.
        If the chain skips, the cassette is worn out.
        Tighten the brake cable until the pads nearly touch the rim.
        A drop of oil on the derailleur stops the squeaking.""",
}  # fmt: skip

QUESTIONS = {
    "сколько теперь будет стоить съём кабинета": "lease.mp3",
    "лечение ушиба ноги": "clinic.mp3",
    "уход за овощами на даче": "garden.mp3",
    "почему не работал интернет": "network.mp3",
    "успеваемость учеников": "school.mp3",
    "рецепт домашней выпечки": "bread.mp3",
    "how much money does the company have left": "funding.mp3",
    "what happens inside an erupting mountain": "volcano.mp3",
    "the match ended without a winner": "football.mp3",
    "fixing a flat on my bike": "bicycle.mp3",
    # In the other language.
    "office rent increase": "lease.mp3",
    "making dough": "bread.mp3",
    "ремонт велосипеда": "bicycle.mp3",
    "извержение и пепел": "volcano.mp3",
}


def language_of(name: str) -> str:
    return "en" if TALKS[name].strip().isascii() else "ru"
